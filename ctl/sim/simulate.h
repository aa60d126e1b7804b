/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs of ooo-ctl that need no agent: they have command lines of their own. */
#ifndef OOO_CTL_SIMULATE_H
#define OOO_CTL_SIMULATE_H

#include "ctl/words.h"

/* argv[0] is the verb. */
enum ctl_exit simulate_main(int argc, char **argv);
enum ctl_exit calibrate_main(int argc, char **argv);

#endif
