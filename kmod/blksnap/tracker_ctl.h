/* SPDX-License-Identifier: GPL-2.0 */
/* The filter "blksnap" as blkfilter sees it: attached, asked, detached. */
#ifndef _BLKSNAP_TRACKER_CTL_H
#define _BLKSNAP_TRACKER_CTL_H

/* Offers the filter to blkfilter, and takes it back. May sleep. */
int tracker_ctl_init(void);
void tracker_ctl_exit(void);

#endif /* _BLKSNAP_TRACKER_CTL_H */
