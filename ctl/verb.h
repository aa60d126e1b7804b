/* SPDX-License-Identifier: Apache-2.0 */
/* What runs a verb: asks the agent and prints. */
#ifndef OOO_CTL_VERB_H
#define OOO_CTL_VERB_H

#include "ctl/link.h"
#include "ctl/record.h"
#include "ctl/words.h"

/* A command on an open link. Results go to stdout; why says what went wrong. */
struct session {
	const struct command *cmd;
	struct link *link;
	bool has_cursor; /* of a dump: begin at cursor */
	uint64_t cursor;
	char why[LINK_WHY_BYTES];
};

/* Ask for the command's verb and collect all records. */
enum ctl_exit verb_fetch(struct session *s, struct records *rs);

enum ctl_exit verb_show_one(struct session *s);    /* one record, as a screen */
enum ctl_exit verb_show_list(struct session *s);   /* records of one group, as a table */
enum ctl_exit verb_tenant_list(struct session *s); /* likewise, those that are asked for */
enum ctl_exit verb_change(struct session *s);      /* says nothing if done, except as JSON */
enum ctl_exit verb_stats(struct session *s);
enum ctl_exit verb_monitor(struct session *s);
enum ctl_exit verb_policy_show(struct session *s); /* and save */
enum ctl_exit verb_policy_diff(struct session *s);
enum ctl_exit verb_policy_load(struct session *s);
enum ctl_exit verb_metrics(struct session *s);
/* Without a link: */
enum ctl_exit verb_record_show(struct session *s);
enum ctl_exit verb_record_save(struct session *s);
enum ctl_exit verb_why(struct session *s);
enum ctl_exit verb_policy_check(struct session *s);
enum ctl_exit verb_doctor(struct session *s);
enum ctl_exit verb_top(struct session *s);
enum ctl_exit verb_timeline(struct session *s);
enum ctl_exit verb_trace(struct session *s); /* refused where it was built without libbpf */
enum ctl_exit verb_usage(struct session *s);

/* now less before, where fields are counters that only grow. Records that were not there before, and
 * everything if the counters were reset in between, stay as they are. */
void stats_subtract(struct records *now, const struct records *before);
/* The fields that ooo-ctl computes itself. */
void stats_derive(struct records *rs);

#endif
