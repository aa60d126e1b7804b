/* SPDX-License-Identifier: Apache-2.0 */
/* Who waited for whom. */
#ifndef OOO_CTL_BLAME_H
#define OOO_CTL_BLAME_H

#include "ctl/flight.h"
#include "ctl/verb.h"

/* Print the matrix of all that was read: a row for each tenant that waited. */
enum ctl_exit blame_tell(struct session *s, const struct flight *f);

#endif
