/* SPDX-License-Identifier: GPL-2.0 */
/* The image of one device in a snapshot, as a block device. */
#ifndef _BLKSNAP_IMAGE_H
#define _BLKSNAP_IMAGE_H

struct diff_area;
struct image;

int image_module_init(void);
void image_module_exit(void);

/*
 * Makes the image's disk, invisible yet. Everything that can easily fail does
 * so here, before file systems are frozen. @read_only: BLKSNAP_TAKE_READ_ONLY.
 * ERR_PTR. May sleep.
 */
struct image *image_create(struct diff_area *area, bool read_only);
/* Shows it: the node appears before this returns. May sleep. */
int image_show(struct image *image);
/* Its name in /dev. */
const char *image_name(const struct image *image);
/* Ends it, shown or not; waits for its I/O, not for who has it open. */
void image_destroy(struct image *image);

#endif /* _BLKSNAP_IMAGE_H */
