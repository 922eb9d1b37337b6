// SPDX-License-Identifier: GPL-2.0
/*
 * The test writes to a disk of its own and resizes it, and checks that a filter
 * on it is called. The disk is never added to the system: no name, number,
 * device node or uevent, and no other user.
 *
 * A disk that is not added cannot take I/O. So the writes are REQ_NOWAIT, which
 * this disk does not offer: submit_bio_noacct() ends them with an error before
 * it does anything else with the disk.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "blkfilter_disk.h"
#include "blkfilter_hook.h"
#include "blkfilter_selftest.h"
#include "compat.h"

#define CAPACITY 64 /* in sectors */
#define WRITTEN 8   /* this sector is */
#define LIMIT_SECONDS 10

/**
 * struct selftest - one run
 * @filter:  on @disk
 * @writes:  how often it was shown @bio
 * @changes: how often it was told that the disk changed otherwise
 */
struct selftest {
	struct blkfilter filter;
	struct gendisk *disk;
	unsigned int writes;
	unsigned int changes;
	struct bio bio;
	struct bio_vec bvec;
	struct completion ended;
};

/* hook_bio_path_count() when the test last passed. */
static unsigned int tested;

/* ---- the filter, and its disk ---- */

static bool selftest_submit_bio(struct blkfilter *flt, struct bio *bio,
				sector_t sector, sector_t count)
{
	struct selftest *test = container_of(flt, struct selftest, filter);

	if (bio == &test->bio && sector == WRITTEN && count == 1)
		test->writes++;
	return false;
}

static void selftest_untracked(struct blkfilter *flt, const char *what)
{
	container_of(flt, struct selftest, filter)->changes++;
}

/* Not registered: blkfilter_disk.c calls these two alone. */
static const struct blkfilter_operations selftest_filter = {
	.owner = THIS_MODULE,
	.name = "selftest",
	.submit_bio = selftest_submit_bio,
	.untracked = selftest_untracked,
};

static const struct block_device_operations selftest_disk = {
	.owner = THIS_MODULE,
};

/* ---- the tests ---- */

static int missed(const char *function)
{
	pr_err("self-test: a call of %s did not come by the hook, so changes would be missed; not attached. The kernel runs another copy of that code: remove live patches, or use another kernel\n",
	       function);
	return -EOPNOTSUPP;
}

static void write_ended(struct bio *bio)
{
	complete(&container_of(bio, struct selftest, bio)->ended);
}

static void prepare_write(struct selftest *test)
{
	struct bio *bio = &test->bio;

	init_completion(&test->ended);
	test->writes = 0;
	bio_init(bio, test->disk->part0, &test->bvec, 1,
		 REQ_OP_WRITE | REQ_NOWAIT);
	bio->bi_iter.bi_sector = WRITTEN;
	bio->bi_end_io = write_ended;
	__bio_add_page(bio, ZERO_PAGE(0), SECTOR_SIZE, 0);
}

/* After the submission. */
static int check_write(struct selftest *test, const char *function)
{
	/* Ended long ago, unless the filter had no memory to follow it. */
	if (!wait_for_completion_timeout(&test->ended, LIMIT_SECONDS * HZ)) {
		pr_err("self-test: a write by %s did not end within %d s; not attached\n",
		       function, LIMIT_SECONDS);
		return -ETIMEDOUT;
	}
	bio_uninit(&test->bio);
	return test->writes ? 0 : missed(function);
}

static int test_writes(struct selftest *test)
{
	int ret;

	prepare_write(test);
	submit_bio_noacct(&test->bio);
	ret = check_write(test, "submit_bio_noacct");
	if (ret)
		return ret;
	/* In the same file as its callee, which may be inlined into it. */
	prepare_write(test);
	submit_bio(&test->bio);
	return check_write(test, "submit_bio");
}

static int test_sizes(struct selftest *test)
{
	test->changes = 0;
	set_capacity(test->disk, CAPACITY / 2);
	if (!test->changes)
		return missed("set_capacity");
	test->changes = 0;
	set_capacity_and_notify(test->disk, CAPACITY / 4);
	return test->changes ? 0 : missed("set_capacity_and_notify");
}

/* ---- a run ---- */

static struct selftest *make_selftest(void)
{
	struct selftest *test = kzalloc(sizeof(*test), GFP_KERNEL);
	struct gendisk *disk;
	int ret;

	if (!test)
		return ERR_PTR(-ENOMEM);
	disk = compat_alloc_disk(NULL);
	if (IS_ERR(disk)) {
		ret = PTR_ERR(disk);
		goto err_free;
	}
	disk->fops = &selftest_disk;
	set_capacity(disk, CAPACITY);
	test->disk = disk;
	test->filter.ops = &selftest_filter;
	test->filter.bdev = disk->part0;
	ret = disk_show_filter(&test->filter);
	if (!ret)
		return test;
	put_disk(disk);
err_free:
	kfree(test);
	return ERR_PTR(ret);
}

static void free_selftest(struct selftest *test)
{
	disk_hide_filter(&test->filter);
	disk_remove_filter(&test->filter);
	put_disk(test->disk);
	kfree(test);
}

int selftest_hooks(void)
{
	unsigned int hooked = hook_bio_path_count();
	struct selftest *test;
	int ret;

	if (tested == hooked)
		return 0;
	test = make_selftest();
	if (IS_ERR(test))
		return PTR_ERR(test);
	ret = test_writes(test);
	if (ret == -ETIMEDOUT) {
		/* The write may still end: its memory stays, and this module.
		 */
		__module_get(THIS_MODULE);
		return ret;
	}
	if (!ret)
		ret = test_sizes(test);
	free_selftest(test);
	if (!ret)
		tested = hooked;
	return ret;
}
