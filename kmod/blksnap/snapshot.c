// SPDX-License-Identifier: GPL-2.0
/* Snapshots: which there are, what is in them, from creation to destruction. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blk-integrity.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "diff_area.h"
#include "diff_storage.h"
#include "events.h"
#include "gate.h"
#include "image.h"
#include "snapshot.h"
#include "take.h"
#include "tracker.h"

/* A device of a snapshot. All under snapshot.lock. */
struct snapshot_member {
	struct list_head link; /* snapshot.members */
	struct snapshot *snapshot;
	struct tracker *tracker; /* NULL once the device is gone */
	dev_t dev;
	struct diff_area *area; /* from the take on; under tracker.lock too */
	struct image *image;	/* likewise */
	u32 quiesced;		/* enum blksnap_quiesced_how; likewise */
	/* While taking: */
	struct take_member *taken;
	struct cbt_map *map; /* to change places with, or NULL */
};

struct snapshot {
	struct list_head link; /* snapshots; snapshots_lock */
	struct kref ref;
	uuid_t id;
	struct mutex lock;
	bool taken;
	bool read_only; /* its images */
	bool destroyed;
	struct list_head members;
	struct diff_storage *storage;
	struct event_queue events;
	struct gate gate;
};

static DEFINE_MUTEX(snapshots_lock);
static LIST_HEAD(snapshots);

/* ---- finding and keeping ---- */

static void snapshot_free(struct kref *ref)
{
	struct snapshot *snapshot = container_of(ref, struct snapshot, ref);

	mutex_destroy(&snapshot->lock);
	kfree(snapshot);
}

static struct snapshot *snapshot_find_locked(const struct blksnap_uuid *id)
{
	struct snapshot *snapshot;

	lockdep_assert_held(&snapshots_lock);
	list_for_each_entry(snapshot, &snapshots, link)
		if (!memcmp(&snapshot->id, id, sizeof(*id)))
			return snapshot;
	return NULL;
}

/* Referenced, or NULL; it may be destroyed at any time. */
static struct snapshot *snapshot_find(const struct blksnap_uuid *id)
{
	struct snapshot *snapshot;

	mutex_lock(&snapshots_lock);
	snapshot = snapshot_find_locked(id);
	if (snapshot)
		kref_get(&snapshot->ref);
	mutex_unlock(&snapshots_lock);
	return snapshot;
}

/* Referenced and locked, or NULL. */
static struct snapshot *snapshot_get(const struct blksnap_uuid *id)
{
	struct snapshot *snapshot = snapshot_find(id);

	if (!snapshot)
		return NULL;
	mutex_lock(&snapshot->lock);
	if (!snapshot->destroyed)
		return snapshot;
	mutex_unlock(&snapshot->lock);
	kref_put(&snapshot->ref, snapshot_free);
	return NULL;
}

static void snapshot_put(struct snapshot *snapshot)
{
	mutex_unlock(&snapshot->lock);
	kref_put(&snapshot->ref, snapshot_free);
}

/* ---- taking ---- */

/*
 * The map of a device that was resized, or has another medium (a loop device),
 * says nothing of what is there now: a fresh one, of a new generation, takes
 * its place in the take. NULL if the map stands.
 */
static struct cbt_map *fresh_map_if_stale(struct tracker *tracker)
{
	struct cbt_map *map;
	int ret;

	if (!cbt_map_is_stale(&tracker->map, tracker->filter.bdev))
		return NULL;
	map = kzalloc(sizeof(*map), GFP_KERNEL);
	if (!map)
		return ERR_PTR(-ENOMEM);
	ret = cbt_map_init(map, tracker->filter.bdev);
	if (ret) {
		kfree(map);
		return ERR_PTR(ret);
	}
	pr_info("%pg: size or medium has changed, new generation of the change map\n",
		tracker->filter.bdev);
	return map;
}

/* Before the take drains, so that no write to the map's sectors is missed. */
static void show_all_of(const struct cbt_map *map, struct blkfilter *flt)
{
	WRITE_ONCE(flt->sectors,
		   max(flt->sectors, map->capacity >> SECTOR_SHIFT));
}

static int make_area(struct snapshot *snapshot, struct snapshot_member *member)
{
	struct diff_area *area;
	struct image *image;

	/* The filter's device stays the same. */
	lockdep_assert_held(&member->tracker->lock);
	tracker_renew_map(member->tracker);
	member->map = fresh_map_if_stale(member->tracker);
	if (IS_ERR(member->map))
		return PTR_ERR(member->map);
	if (member->map)
		show_all_of(member->map, &member->tracker->filter);
	area = diff_area_create(member->tracker->filter.bdev, snapshot->storage,
				&snapshot->events);
	if (IS_ERR(area))
		return PTR_ERR(area);
	image = image_create(area, snapshot->read_only);
	if (IS_ERR(image)) {
		diff_area_destroy(area);
		return PTR_ERR(image);
	}
	member->area = area;
	member->image = image;
	return 0;
}

/* What a take needs, but for memory that it must not wait for. */
static int prepare_member(struct snapshot *snapshot,
			  struct snapshot_member *member, struct take *take)
{
	struct take_member *taken = take_add(take, member->tracker);
	int ret;

	if (IS_ERR(taken))
		return PTR_ERR(taken);
	member->taken = taken;
	mutex_lock(&member->tracker->lock);
	ret = make_area(snapshot, member);
	mutex_unlock(&member->tracker->lock);
	taken->area = member->area;
	taken->map = member->map;
	return ret;
}

static unsigned int list_count(const struct list_head *list)
{
	const struct list_head *at;
	unsigned int count = 0;

	list_for_each(at, list)
		count++;
	return count;
}

static void drop_map(struct snapshot_member *member)
{
	if (!IS_ERR_OR_NULL(member->map)) {
		cbt_map_destroy(member->map);
		kfree(member->map);
	}
	member->map = NULL;
}

/*
 * Memory that a writer may still look at, inside its bracket: freed by a
 * worker, since a device that hangs keeps its writers there.
 */
struct leftover {
	struct work_struct work;
	struct hooked_disk *disk;
	struct diff_area *area;	   /* or NULL */
	struct snapshot *snapshot; /* with the gate; referenced */
};

static struct workqueue_struct *leftover_queue;

static void free_leftover(struct work_struct *work)
{
	struct leftover *leftover = container_of(work, struct leftover, work);

	blkfilter_synchronize_disk(leftover->disk);
	if (leftover->area)
		diff_area_destroy(leftover->area);
	kref_put(&leftover->snapshot->ref, snapshot_free);
	kfree(leftover);
}

static void free_later(struct snapshot *snapshot, struct diff_area *area,
		       struct hooked_disk *disk)
{
	struct leftover *leftover =
		kmalloc(sizeof(*leftover), GFP_KERNEL | __GFP_NOFAIL);

	INIT_WORK(&leftover->work, free_leftover);
	leftover->disk = disk;
	leftover->area = area;
	leftover->snapshot = snapshot;
	kref_get(&snapshot->ref);
	queue_work(leftover_queue, &leftover->work);
}

/* Undoes prepare_member(), and a take. Does not wait for writers. */
static void release_member(struct snapshot_member *member)
{
	struct tracker *tracker = member->tracker;
	struct diff_area *area = member->area;
	struct image *image = member->image;
	struct hooked_disk *disk = NULL;

	lockdep_assert_held(&member->snapshot->lock);
	/* First: writes pass uncopied below, and nothing reads the origin. */
	if (area)
		diff_area_stop(area);
	if (tracker) {
		mutex_lock(&tracker->lock);
		WRITE_ONCE(tracker->diff, NULL);
		member->area = NULL;
		member->image = NULL;
		if (area)
			diff_area_set_map(area, NULL);
		mutex_unlock(&tracker->lock);
		disk = blkfilter_get_disk(&tracker->filter);
	}
	if (image)
		image_destroy(image);
	if (area)
		diff_area_drain(area);
	if (disk)
		free_later(member->snapshot, area, disk);
	else if (area)
		diff_area_destroy(area);
}

/* Everything that can fail is made before; 0: the instant was taken. */
static int prepare_and_take(struct snapshot *snapshot)
{
	struct snapshot_member *member;
	struct take *take;
	int ret = 0;

	take = take_alloc(list_count(&snapshot->members));
	if (!take)
		return -ENOMEM;
	list_for_each_entry(member, &snapshot->members, link) {
		ret = prepare_member(snapshot, member, take);
		if (ret)
			break;
	}
	if (!ret)
		ret = take_run(take, &snapshot->gate, &snapshot->lock);
	list_for_each_entry(member, &snapshot->members, link) {
		if (!ret)
			member->quiesced = member->taken->quiesced;
		drop_map(member);
	}
	take_end(take);
	return ret;
}

/* Adds disks, so it must not hold devices: removals wait for holders. */
static int show_images(struct snapshot *snapshot)
{
	struct snapshot_member *member;
	int ret = 0;

	list_for_each_entry(member, &snapshot->members, link) {
		mutex_lock(&member->tracker->lock);
		diff_area_set_map(member->area, &member->tracker->map);
		mutex_unlock(&member->tracker->lock);
		ret = image_show(member->image);
		if (ret)
			break;
	}
	return ret;
}

static int take(struct snapshot *snapshot, bool read_only)
{
	struct snapshot_member *member;
	int ret;

	if (snapshot->taken)
		return -EALREADY;
	if (list_empty(&snapshot->members))
		return -ENODEV;
	list_for_each_entry(member, &snapshot->members, link)
		if (!member->tracker)
			return -ENODEV;
	snapshot->read_only = read_only;
	ret = prepare_and_take(snapshot);
	if (!ret) {
		snapshot->taken = true;
		ret = show_images(snapshot);
	}
	if (ret) {
		snapshot->taken = false;
		list_for_each_entry(member, &snapshot->members, link)
			release_member(member);
	}
	return ret;
}

int snapshot_take(const struct blksnap_uuid *id, bool read_only)
{
	struct snapshot *snapshot = snapshot_get(id);
	int ret;

	if (!snapshot)
		return -ESRCH;
	ret = take(snapshot, read_only);
	if (!ret)
		pr_info("snapshot %pUb taken\n", &snapshot->id);
	snapshot_put(snapshot);
	return ret;
}

/* ---- making, filling, destroying ---- */

int snapshot_create(const char __user *path, u64 limit_sectors,
		    struct blksnap_uuid *id)
{
	struct snapshot *snapshot = kzalloc(sizeof(*snapshot), GFP_KERNEL);
	int ret;

	if (!snapshot)
		return -ENOMEM;
	kref_init(&snapshot->ref);
	mutex_init(&snapshot->lock);
	INIT_LIST_HEAD(&snapshot->members);
	gate_init(&snapshot->gate);
	uuid_gen(&snapshot->id);
	event_queue_init(&snapshot->events);
	snapshot->storage =
		diff_storage_open(path, limit_sectors, &snapshot->events);
	if (IS_ERR(snapshot->storage)) {
		ret = PTR_ERR(snapshot->storage);
		kref_put(&snapshot->ref, snapshot_free);
		return ret;
	}
	export_uuid(id->b, &snapshot->id);
	/* A held snapshot keeps the module; the caller's fd does for now. */
	__module_get(THIS_MODULE);
	mutex_lock(&snapshots_lock);
	list_add_tail(&snapshot->link, &snapshots);
	mutex_unlock(&snapshots_lock);
	return 0;
}

static int check_addable(struct snapshot *snapshot, struct tracker *tracker)
{
	struct block_device *bdev = tracker->filter.bdev;

	lockdep_assert_held(&snapshot->lock);
	lockdep_assert_held(&tracker->lock);
	if (tracker->member)
		return tracker->member->snapshot == snapshot ? -EALREADY
							     : -EBUSY;
	if (snapshot->taken)
		return -EBUSY;
	if (blk_get_integrity(bdev->bd_disk)) {
		pr_err("%pg: integrity data is not supported\n", bdev);
		return -EPERM;
	}
#ifdef CONFIG_BLK_INLINE_ENCRYPTION
	if (bdev_get_queue(bdev)->crypto_profile) {
		pr_err("%pg: inline encryption is not supported\n", bdev);
		return -EPERM;
	}
#endif
	return diff_storage_admit(snapshot->storage, bdev);
}

int snapshot_add(const struct blksnap_uuid *id, struct tracker *tracker)
{
	struct snapshot_member *member = kzalloc(sizeof(*member), GFP_KERNEL);
	struct snapshot *snapshot;
	int ret;

	if (!member)
		return -ENOMEM;
	snapshot = snapshot_get(id);
	if (!snapshot) {
		kfree(member);
		return -ESRCH;
	}
	mutex_lock(&tracker->lock);
	ret = check_addable(snapshot, tracker);
	if (!ret) {
		member->snapshot = snapshot;
		member->tracker = tracker;
		member->dev = tracker->filter.bdev->bd_dev;
		list_add_tail(&member->link, &snapshot->members);
		tracker->member = member;
	}
	mutex_unlock(&tracker->lock);
	snapshot_put(snapshot);
	if (ret)
		kfree(member);
	return ret;
}

void snapshot_member_info(struct snapshot_member *member,
			  struct blksnap_snapshotinfo *info)
{
	lockdep_assert_held(&member->tracker->lock);
	if (!member->image || !READ_ONCE(member->snapshot->taken))
		return;
	info->error_code = READ_ONCE(member->area->error);
	strscpy(info->image, image_name(member->image), sizeof(info->image));
}

int snapshot_member_quiesced(struct snapshot_member *member,
			     struct blksnap_quiesced *quiesced)
{
	lockdep_assert_held(&member->tracker->lock);
	if (!member->image || !READ_ONCE(member->snapshot->taken))
		return -ENODATA;
	quiesced->how = member->quiesced;
	return 0;
}

void snapshot_forget(struct tracker *tracker)
{
	struct snapshot *snapshot = NULL;
	struct image *image = NULL;

	mutex_lock(&tracker->lock);
	if (tracker->member) {
		snapshot = tracker->member->snapshot;
		kref_get(&snapshot->ref);
	}
	mutex_unlock(&tracker->lock);
	if (!snapshot)
		return;
	mutex_lock(&snapshot->lock);
	mutex_lock(&tracker->lock);
	/* A destroy may have come first. */
	if (tracker->member) {
		tracker->member->tracker = NULL;
		if (tracker->member->area)
			diff_area_set_map(tracker->member->area, NULL);
		image = tracker->member->image;
		tracker->member->image = NULL;
		tracker->member = NULL;
		WRITE_ONCE(tracker->diff, NULL);
	}
	mutex_unlock(&tracker->lock);
	/* It is dead; and its name may be wanted for the next device. */
	if (image)
		image_destroy(image);
	snapshot_put(snapshot);
}

static void destroy(struct snapshot *snapshot)
{
	struct snapshot_member *member, *next;

	mutex_lock(&snapshot->lock);
	snapshot->destroyed = true;
	event_queue_close(&snapshot->events);
	list_for_each_entry_safe(member, next, &snapshot->members, link) {
		release_member(member);
		if (member->tracker) {
			mutex_lock(&member->tracker->lock);
			member->tracker->member = NULL;
			mutex_unlock(&member->tracker->lock);
		}
		list_del(&member->link);
		kfree(member);
	}
	diff_storage_close(snapshot->storage);
	pr_info("snapshot %pUb destroyed\n", &snapshot->id);
	snapshot_put(snapshot);
	module_put(THIS_MODULE);
}

int snapshot_destroy(const struct blksnap_uuid *id)
{
	struct snapshot *snapshot;

	mutex_lock(&snapshots_lock);
	snapshot = snapshot_find_locked(id);
	if (snapshot)
		list_del(&snapshot->link);
	mutex_unlock(&snapshots_lock);
	if (!snapshot)
		return -ENODEV;
	destroy(snapshot);
	return 0;
}

int snapshot_wait_event(struct blksnap_snapshot_event *event)
{
	struct snapshot *snapshot = snapshot_find(&event->id);
	int ret;

	if (!snapshot)
		return -ESRCH;
	ret = event_wait(&snapshot->events, event);
	kref_put(&snapshot->ref, snapshot_free);
	return ret;
}

int snapshot_statistics(struct blksnap_snapshot_statistics *statistics)
{
	struct snapshot *snapshot = snapshot_get(&statistics->id);
	struct snapshot_member *member;

	if (!snapshot)
		return -ESRCH;
	diff_storage_statistics(snapshot->storage, statistics);
	list_for_each_entry(member, &snapshot->members, link)
		if (member->area)
			diff_area_add_statistics(member->area, statistics);
	snapshot_put(snapshot);
	return 0;
}

int snapshot_collect(struct blksnap_uuid __user *ids, u32 room, u32 *count)
{
	struct snapshot *snapshot;
	struct blksnap_uuid id;
	int ret = 0;
	u32 n = 0;

	mutex_lock(&snapshots_lock);
	list_for_each_entry(snapshot, &snapshots, link)
		n++;
	*count = n;
	if (ids && n > room)
		ret = -ENODATA;
	n = 0;
	if (ids && !ret) {
		list_for_each_entry(snapshot, &snapshots, link) {
			export_uuid(id.b, &snapshot->id);
			if (copy_to_user(ids + n++, &id, sizeof(id)))
				ret = -EFAULT;
		}
	}
	mutex_unlock(&snapshots_lock);
	return ret;
}

/* ---- module ---- */

int snapshot_module_init(void)
{
	leftover_queue = alloc_workqueue("blksnap_release", WQ_UNBOUND, 0);
	return leftover_queue ? 0 : -ENOMEM;
}

void snapshot_module_exit(void)
{
	destroy_workqueue(leftover_queue);
}
