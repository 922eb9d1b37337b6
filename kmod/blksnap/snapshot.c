// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots, and the take.
 *
 * A take is an instant between two writes, the same for all devices:
 *   1. everything that can fail is made: areas, image disks;
 *   2. file systems are frozen: their caches reach the devices;
 *   3. the gate is closed: new writes are put aside, not made to sleep;
 *   4. writes that had passed the filter drain: from here on nothing changes
 *      on any of the devices;
 *   5. all devices flip: maps are frozen, copy on write begins;
 *   6. the gate opens, what was put aside goes on, file systems thaw.
 * A failure before 5 undoes what was done and changes nothing. Between 2 and 6
 * no memory is allocated that might wait for these devices or file systems, and
 * no lock is taken whose holder might: tracker locks, which CBTMAP holds over
 * page faults, are taken before 2.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blk-mq.h>
#include <linux/blk-integrity.h>
#include <linux/delay.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/part_stat.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "diff_area.h"
#include "diff_storage.h"
#include "events.h"
#include "image.h"
#include "snapshot.h"
#include "tracker.h"

/* A device of a snapshot. All under snapshot.lock. */
struct snapshot_member {
	struct list_head link; /* snapshot.members */
	struct snapshot *snapshot;
	struct tracker *tracker; /* NULL once the device is gone */
	dev_t dev;
	struct diff_area *area; /* from the take on; under tracker.lock too */
	struct image *image;	/* likewise */
	/* While taking: a map to change places with, or NULL; */
	struct cbt_map *map;
	/* devices whose file systems we froze, and pinned. */
	struct block_device **frozen;
	unsigned int nr_frozen;
};

struct snapshot {
	struct list_head link; /* snapshots; snapshots_lock */
	struct kref ref;
	uuid_t id;
	struct mutex lock;
	bool taken;
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

/* ---- the gate ---- */

bool gate_hold(struct gate *gate, struct bio *bio)
{
	unsigned long flags;
	bool held;

	spin_lock_irqsave(&gate->lock, flags);
	held = gate->closed;
	if (held)
		bio_list_add(&gate->bios, bio);
	spin_unlock_irqrestore(&gate->lock, flags);
	return held;
}

static void close_gate(struct snapshot *snapshot)
{
	struct snapshot_member *member;

	snapshot->gate.closed = true;
	list_for_each_entry(member, &snapshot->members, link)
		smp_store_release(&member->tracker->gate, &snapshot->gate);
}

/* Opens it and sends on what it held. */
static void open_gate(struct snapshot *snapshot)
{
	struct snapshot_member *member;
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&snapshot->gate.lock);
	snapshot->gate.closed = false;
	bios = snapshot->gate.bios;
	bio_list_init(&snapshot->gate.bios);
	spin_unlock_irq(&snapshot->gate.lock);
	list_for_each_entry(member, &snapshot->members, link)
		smp_store_release(&member->tracker->gate, NULL);
	while ((bio = bio_list_pop(&bios)))
		blkfilter_resubmit(bio);
}

/* ---- the instant ---- */

/* Freezes the device, or on a whole disk it and all its partitions. */
static int freeze_member(struct snapshot_member *member)
{
	struct block_device *bdev = member->tracker->filter.bdev;
	struct gendisk *disk = bdev->bd_disk;
	struct block_device *part;
	unsigned long idx;
	unsigned int room = 0;
	bool found = false;
	int ret;

	xa_for_each(&disk->part_tbl, idx, part)
		room++;
	member->frozen = kcalloc(room, sizeof(*member->frozen), GFP_KERNEL);
	if (!member->frozen)
		return -ENOMEM;
	for (idx = 0; member->nr_frozen < room; idx++) {
		rcu_read_lock();
		part = xa_find(&disk->part_tbl, &idx, ULONG_MAX, XA_PRESENT);
		if (part && !kobject_get_unless_zero(&part->bd_device.kobj))
			part = ERR_PTR(-ENODEV);
		rcu_read_unlock();
		if (!part)
			break;
		if (IS_ERR(part))
			continue;
		/* By its sectors: the table may have been read anew. */
		if (bdev_is_partition(bdev) &&
		    !blkfilter_same_sectors(part, bdev)) {
			put_device(&part->bd_device);
			continue;
		}
		found = true;
		ret = compat_bdev_freeze(part);
		/* It is frozen, and who did that will thaw it. */
		if (ret == COMPAT_ALREADY_FROZEN) {
			sync_blockdev(part);
			put_device(&part->bd_device);
			continue;
		}
		if (ret) {
			pr_err("%pg: cannot freeze the file system: %pe\n",
			       part, ERR_PTR(ret));
			put_device(&part->bd_device);
			return ret;
		}
		member->frozen[member->nr_frozen++] = part;
	}
	if (!found) {
		pr_err("%pg: the partition is not there; no snapshot\n", bdev);
		return -ENODEV;
	}
	return 0;
}

static void thaw_member(struct snapshot_member *member)
{
	while (member->nr_frozen) {
		struct block_device *part = member->frozen[--member->nr_frozen];
		int ret = compat_bdev_thaw(part);

		if (ret)
			pr_err("%pg: cannot thaw the file system: %pe\n", part,
			       ERR_PTR(ret));
		put_device(&part->bd_device);
	}
	kfree(member->frozen);
	member->frozen = NULL;
}

/*
 * Writes that have begun on a disk that is not request-based, as far as its
 * accounting says: what came before the filter was attached is known so alone.
 */
static unsigned int writes_in_flight(struct gendisk *disk)
{
	struct block_device *part;
	unsigned long idx;
	long sum = 0;
	int cpu;

	rcu_read_lock();
	xa_for_each(&disk->part_tbl, idx, part)
		for_each_possible_cpu(cpu)
			sum += local_read(&per_cpu_ptr(part->bd_stats, cpu)
						   ->in_flight[1]);
	rcu_read_unlock();
	return max(sum, 0L);
}

#define DRAIN_SECONDS 30

/*
 * Waits until all writes that the filter has let pass are done. A request queue
 * tells by freezing, once everything has entered it.
 */
static int drain_device(struct blkfilter *flt)
{
	unsigned long deadline = jiffies + DRAIN_SECONDS * HZ;
	struct block_device *bdev = flt->bdev;
	struct request_queue *q = bdev_get_queue(bdev);
	int ret = blkfilter_drain_flights(flt, DRAIN_SECONDS * HZ);
	bool done;

	if (ret && ret != -ETIMEDOUT)
		return ret;
	if (ret) {
		done = false;
	} else if (queue_is_mq(q)) {
		blk_freeze_queue_start(q);
		done = blk_mq_freeze_queue_wait_timeout(q, DRAIN_SECONDS * HZ);
		blk_mq_unfreeze_queue(q);
	} else {
		while (!(done = !writes_in_flight(bdev->bd_disk)) &&
		       time_before(jiffies, deadline))
			usleep_range(200, 1000);
	}
	if (done)
		return 0;
	pr_err("%pg: writes did not end within %d s; no snapshot\n", bdev,
	       DRAIN_SECONDS);
	return -ETIMEDOUT;
}

static void flip(struct snapshot *snapshot)
{
	struct snapshot_member *member;

	list_for_each_entry(member, &snapshot->members, link) {
		if (member->map)
			swap(*member->map, member->tracker->map);
		cbt_map_take(&member->tracker->map);
		diff_area_mark_excluded(member->area, &member->tracker->map);
		tracker_start_copying(member->tracker, member->area);
	}
	snapshot->taken = true;
}

/* Steps 3 to 6, the file systems frozen. */
static int take_instant(struct snapshot *snapshot)
{
	struct snapshot_member *member;
	int ret = 0;

	close_gate(snapshot);
	list_for_each_entry(member, &snapshot->members, link)
		blkfilter_drain(&member->tracker->filter);
	list_for_each_entry(member, &snapshot->members, link) {
		ret = drain_device(&member->tracker->filter);
		if (ret)
			break;
	}
	if (!ret)
		flip(snapshot);
	open_gate(snapshot);
	return ret;
}

/* Steps 2 to 6. */
static int freeze_and_take(struct snapshot *snapshot)
{
	struct snapshot_member *member;
	unsigned int noio;
	int ret = 0;

	list_for_each_entry(member, &snapshot->members, link)
		mutex_lock_nest_lock(&member->tracker->lock, &snapshot->lock);
	noio = memalloc_noio_save();
	list_for_each_entry(member, &snapshot->members, link) {
		ret = freeze_member(member);
		if (ret)
			break;
	}
	if (!ret)
		ret = take_instant(snapshot);
	list_for_each_entry_reverse(member, &snapshot->members, link)
		thaw_member(member);
	memalloc_noio_restore(noio);
	list_for_each_entry(member, &snapshot->members, link)
		mutex_unlock(&member->tracker->lock);
	return ret;
}

/*
 * The map of a device that was resized, or has another medium (a loop device),
 * says nothing of what is there now: a fresh one, of a new generation, takes its
 * place in flip(). NULL if the map stands.
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

/* Under the tracker's lock: the filter's device stays the same. */
static int prepare_member(struct snapshot *snapshot,
			  struct snapshot_member *member)
{
	struct diff_area *area;
	struct image *image;

	member->map = fresh_map_if_stale(member->tracker);
	if (IS_ERR(member->map))
		return PTR_ERR(member->map);
	area = diff_area_create(member->tracker->filter.bdev, snapshot->storage,
				&snapshot->events);
	if (IS_ERR(area))
		return PTR_ERR(area);
	image = image_create(area);
	if (IS_ERR(image)) {
		diff_area_destroy(area);
		return PTR_ERR(image);
	}
	member->area = area;
	member->image = image;
	return 0;
}

static void drop_map(struct snapshot_member *member)
{
	if (!IS_ERR_OR_NULL(member->map)) {
		cbt_map_destroy(member->map);
		kfree(member->map);
	}
	member->map = NULL;
}

/* Undoes prepare_member(), and a take. */
static void release_member(struct snapshot_member *member)
{
	struct tracker *tracker = member->tracker;
	struct diff_area *area = member->area;
	struct image *image = member->image;

	/* First of all: from here on writes pass uncopied. */
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
		blkfilter_drain(&tracker->filter);
	}
	if (image)
		image_destroy(image);
	if (area) {
		diff_area_drain(area);
		diff_area_destroy(area);
	}
}

static int take(struct snapshot *snapshot)
{
	struct snapshot_member *member;
	int ret = 0;

	if (snapshot->taken)
		return -EALREADY;
	if (list_empty(&snapshot->members))
		return -ENODEV;
	list_for_each_entry(member, &snapshot->members, link)
		if (!member->tracker)
			return -ENODEV;

	list_for_each_entry(member, &snapshot->members, link) {
		mutex_lock(&member->tracker->lock);
		ret = prepare_member(snapshot, member);
		mutex_unlock(&member->tracker->lock);
		if (ret)
			goto out_release;
	}
	ret = freeze_and_take(snapshot);
	if (ret)
		goto out_release;

	list_for_each_entry(member, &snapshot->members, link) {
		mutex_lock(&member->tracker->lock);
		diff_area_set_map(member->area, &member->tracker->map);
		mutex_unlock(&member->tracker->lock);
		ret = image_show(member->image);
		if (ret)
			goto out_release;
	}
	goto out_maps;

out_release:
	snapshot->taken = false;
	list_for_each_entry(member, &snapshot->members, link)
		release_member(member);
out_maps:
	list_for_each_entry(member, &snapshot->members, link)
		drop_map(member);
	return ret;
}

int snapshot_take(const struct blksnap_uuid *id)
{
	struct snapshot *snapshot = snapshot_get(id);
	int ret;

	if (!snapshot)
		return -ESRCH;
	ret = take(snapshot);
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
	spin_lock_init(&snapshot->gate.lock);
	bio_list_init(&snapshot->gate.bios);
	uuid_gen(&snapshot->id);
	event_queue_init(&snapshot->events);
	snapshot->storage = diff_storage_open(path, limit_sectors,
					      &snapshot->events);
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

	if (tracker->member)
		return tracker->member->snapshot == snapshot ? -EALREADY :
							       -EBUSY;
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
	if (!member->image || !READ_ONCE(member->snapshot->taken))
		return;
	info->error_code = READ_ONCE(member->area->error);
	strscpy(info->image, image_name(member->image), sizeof(info->image));
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
