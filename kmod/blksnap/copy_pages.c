// SPDX-License-Identifier: GPL-2.0
#include <linux/log2.h>
#include <linux/mm.h>

#include "copy_pages.h"

/* Size of the cache, in single pages. */
#define COPY_PAGES_KEPT (2U << 20 >> PAGE_SHIFT)

void copy_pages_init(struct copy_pages *pages)
{
	unsigned int order;

	spin_lock_init(&pages->lock);
	pages->count = 0;
	for (order = 0; order <= COPY_MAX_ORDER; order++)
		INIT_LIST_HEAD(&pages->free[order]);
}

static struct page *reuse_page(struct copy_pages *pages, unsigned int order)
{
	struct page *page;
	unsigned long flags;

	spin_lock_irqsave(&pages->lock, flags);
	page = list_first_entry_or_null(&pages->free[order], struct page, lru);
	if (page) {
		list_del(&page->lru);
		pages->count -= 1U << order;
	}
	spin_unlock_irqrestore(&pages->lock, flags);
	return page;
}

void copy_pages_put(struct copy_pages *pages, struct page *page)
{
	unsigned int order = compound_order(page);
	unsigned long flags;
	bool keep;

	spin_lock_irqsave(&pages->lock, flags);
	keep = pages->count < COPY_PAGES_KEPT;
	if (keep) {
		list_add(&page->lru, &pages->free[order]);
		pages->count += 1U << order;
	}
	spin_unlock_irqrestore(&pages->lock, flags);
	if (!keep)
		__free_pages(page, order);
}

void copy_pages_put_list(struct copy_pages *pages, struct list_head *list)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, list, lru)
		copy_pages_put(pages, page);
}

void copy_pages_destroy(struct copy_pages *pages)
{
	struct page *page;
	unsigned int order;

	for (order = 0; order <= COPY_MAX_ORDER; order++)
		while ((page = reuse_page(pages, order)))
			__free_pages(page, order);
}

static struct page *get_page_of(struct copy_pages *pages, unsigned int order,
				gfp_t gfp)
{
	struct page *page = reuse_page(pages, order);

	if (page)
		return page;
	/* High orders: no reclaim. Order 0: as the caller says. */
	return order ? alloc_pages(COPY_GFP | __GFP_COMP, order)
		     : alloc_page(COPY_GFP | gfp);
}

int copy_pages_get(struct copy_pages *pages, unsigned int count, gfp_t gfp,
		   struct list_head *list)
{
	unsigned int order = COPY_MAX_ORDER;
	int pieces = 0;

	while (count) {
		struct page *page;

		order = min_t(unsigned int, order, ilog2(count));
		page = get_page_of(pages, order, gfp);
		if (page) {
			list_add_tail(&page->lru, list);
			count -= 1U << order;
			pieces++;
		} else if (order) {
			order--;
		} else {
			copy_pages_put_list(pages, list);
			INIT_LIST_HEAD(list);
			return -ENOMEM;
		}
	}
	return pieces;
}
