/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cache of pages for copies of old data, one for each storage. Without it,
 * kernels with CONFIG_INIT_ON_ALLOC_DEFAULT_ON (Debian's) would zero the pages
 * of each copy before the read overwrites them.
 */
#ifndef _BLKSNAP_COPY_PAGES_H
#define _BLKSNAP_COPY_PAGES_H

#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/spinlock.h>

/* The largest compound page that a copy asks for: fewer pieces are cheaper. */
#define COPY_MAX_ORDER 6
/* Copies must not use the reserves of a task that frees memory. */
#define COPY_GFP (__GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN)

struct copy_pages {
	spinlock_t lock;			   /* taken from interrupts */
	unsigned int count;			   /* of single pages */
	struct list_head free[COPY_MAX_ORDER + 1]; /* by order; page.lru */
};

void copy_pages_init(struct copy_pages *pages);
void copy_pages_destroy(struct copy_pages *pages);

/*
 * Adds @count pages, as few compound pages as possible, to @list by page.lru.
 * Returns the number of compound pages, or -ENOMEM and adds nothing. @gfp:
 * GFP_NOWAIT, or GFP_NOIO to sleep for single pages.
 */
int copy_pages_get(struct copy_pages *pages, unsigned int count, gfp_t gfp,
		   struct list_head *list);
/* Any context. */
void copy_pages_put(struct copy_pages *pages, struct page *page);
void copy_pages_put_list(struct copy_pages *pages, struct list_head *list);

#endif /* _BLKSNAP_COPY_PAGES_H */
