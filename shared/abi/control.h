/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol, version 1: ooo-ctl and the agent over NETLINK_USERSOCK (protocol 2).
 *
 * FINDING THE AGENT. The agent publishes where it listens in the file `control` of its runtime
 * directory (default /run/ooo), owned by the agent's user or by root, mode 0644, put in place by
 * rename and taken away at exit. Lines of a key, a space and a value, in this order:
 *
 *	ooo-control 1             the file's format
 *	port N                    netlink port of the agent's socket
 *	pid N, uid N              the agent's, as the kernel will report them to a receiver
 *	agent_id HEX              sixteen digits, differs between two runs
 *	netns N                   inode of the agent's network namespace: netlink does not cross it
 *
 * WHO IS SPEAKING. Any process may open such a socket, so both sides set SO_PASSCRED and believe
 * only what the kernel says of a datagram: the sender's port and the SCM_CREDENTIALS that it
 * attached. The agent drops a datagram without them; the uid decides what is allowed. ooo-ctl
 * connects its socket to the agent's port, and takes an answer only from that port, with the pid and
 * uid that the file names, and with the agent id in it.
 *
 * A REQUEST is one datagram with one netlink message:
 *
 *	struct nlmsghdr
 *	  nlmsg_len    of the whole datagram, at most OOO_CTL_MAX_REQUEST
 *	  nlmsg_type   OOO_CTL_TYPE_BASE + the verb's code (VERB in verbs.def)
 *	  nlmsg_flags  NLM_F_REQUEST; with NLM_F_DUMP for verbs that dump, and only for these;
 *	               NLM_F_ACK is allowed
 *	  nlmsg_seq    the sender's, returned in every answer
 *	  nlmsg_pid    0 or the sender's port
 *	attributes, each at most once
 *	  MAGIC    u32  OOO_CTL_MAGIC, required
 *	  VERSION  u32  OOO_CTL_VERSION, required
 *	  CURSOR   u64  dumps: where to go on, from the NLMSG_DONE before; absent to begin
 *	  TENANT   u32  PROGRAM_LIST: this tenant's alone; TENANT_SET: which, required
 *	  WEIGHT, PARTITION  u32  TENANT_SET: one of them at least
 *
 *	POLICY_FD  u64  POLICY_DIFF, POLICY_LOAD: required; a sealed memfd of the asker's process, which
 *	           waits for the answer, with the file in it
 *
 * Validation is strict: an attribute that is unknown, not for this verb, repeated, or not exactly of
 * its length fails the request, and so do bytes left over.
 *
 *	verb          who             answer
 *	STATUS_SHOW   everybody       one STATUS
 *	DEVICE_LIST   everybody       dump of DEVICE
 *	TENANT_LIST   everybody [1]   dump of TENANT, in order of id
 *	PROGRAM_LIST  everybody [1]   dump of PROGRAM, in order of tenant and id
 *	METRICS_SHOW  everybody [1]   dump of METRICS, whose texts make one
 *	STATS_SHOW    everybody [1]   dump: one DISPATCHER, then a USAGE for each tenant in order of id
 *	MONITOR_SHOW  everybody [1]   dump of EVENT, in order of number; CURSOR is the number to begin
 *	                              with, and NLMSG_DONE has it only if there is more
 *	POLICY_SHOW, POLICY_SAVE  administrators  dump of POLICY, whose texts make the file
 *	POLICY_DIFF   administrators  dump of CHANGE, in order of tenant
 *	POLICY_LOAD   administrators  acknowledgement
 *	STATS_RESET   administrators  acknowledgement
 *	TENANT_SET    administrators  acknowledgement
 *
 * Administrators are uid 0, the uid that the agent runs as, and the members of the group given with
 * `ooo-agent --group`. [1] Everybody else sees the records of his own tenants only.
 *
 * ANSWERS carry the request's sequence number, the agent's port in nlmsg_pid, and the agent id.
 * One record is a nested attribute, whose type says which (GROUP in verbs.def) and whose attributes
 * are its fields (FIELD). Readers skip attributes that they do not know.
 *
 *	AGENT_ID    u64    always
 *	STATUS      nest   VERSION str, PID u32, ...
 *	DEVICE      nest   ...
 *	TENANT      nest   ...
 *	PROGRAM     nest   ...
 *	DISPATCHER  nest   ...
 *	USAGE       nest   ...
 *
 * A single record comes in one message with the request's type. A dump comes in messages of the
 * request's type with NLM_F_MULTI, each at most OOO_CTL_MSG_BYTES long, each with at least one whole
 * record, and ends with NLMSG_DONE: an int 0, then attributes (AGENT_ID). Records are never split
 * over messages. The agent sends at most OOO_CTL_DUMP_PARTS messages for one request, so that they fit
 * in the asker's receive buffer; if there is more, NLMSG_DONE carries CURSOR, and the asker sends the
 * request again with it. The agent keeps no state between the two; what came or went meanwhile is
 * seen or not, nothing is seen twice.
 *
 * ERRORS are NLMSG_ERROR with struct nlmsgerr (a negative errno and the request's header alone:
 * NLM_F_CAPPED), then NLMSGERR_ATTR_MSG, a sentence (NLM_F_ACK_TLVS), and AGENT_ID as attribute
 * OOO_CTL_ERR_AGENT_ID. An acknowledgement is an NLMSG_ERROR with error 0.
 *
 *	-EPERM            not an administrator
 *	-EINVAL           malformed; the text says which attribute
 *	-EPROTO           MAGIC is missing or wrong: not this protocol
 *	-EPROTONOSUPPORT  another VERSION; the text says which the agent speaks
 *	-EOPNOTSUPP       no verb has this type
 *	-EBUSY            this user sends more than OOO_CTL_RATE (OOO_CTL_ADMIN_RATE) requests a second
 *	-EMSGSIZE         a record does not fit in a message
 *	-ENOENT           no such tenant, by id or by name
 *	-ENODEV           the tenant's device has no such partition
 *	-ERANGE           a value out of range
 *	-EBADMSG          a policy file that is wrong; the text says where
 *	-ENOMEM
 *
 * The agent does not answer what is shorter than a header, what has a type below NLMSG_MIN_TYPE, or
 * what has no credentials. It never waits for a reader: an answer that finds the asker's
 * buffer full is dropped and counted, and the asker's own timeout ends its call.
 */
#ifndef OOO_ABI_CONTROL_H
#define OOO_ABI_CONTROL_H

#include <linux/netlink.h>
#include <stdint.h>

#define OOO_CTL_MAGIC       0x43304f4fu /* "OO0C" */
#define OOO_CTL_VERSION     1u
#define OOO_CTL_FILE        "control" /* in the runtime directory */
#define OOO_CTL_FILE_FORMAT 1u
#define OOO_CTL_TYPE_BASE   0x4f00u /* >= NLMSG_MIN_TYPE */
#define OOO_CTL_MAX_REQUEST 512u    /* bytes */
#define OOO_CTL_MSG_BYTES   8192u   /* of an answer */
#define OOO_CTL_DUMP_PARTS  8u      /* messages for one request, without NLMSG_DONE */
#define OOO_CTL_RATE        500u    /* requests a second and user, with bursts of twice that */
#define OOO_CTL_ADMIN_RATE                                                                         \
	50000u /* those of root, the agent's user and the group's members by gid */
#define OOO_CTL_NOTE       "note: " /* begins an acknowledgement's sentence that its asker should read */
#define OOO_CTL_TEXT_BYTES 256u /* of an error's sentence, with its NUL */

enum ooo_ctl_type {
#define VERB(NAME, OBJECT, word, code, ACCESS, REPLY, help)                                        \
	OOO_CTL_##NAME = OOO_CTL_TYPE_BASE + code,
#include "verbs.def"
};

/* Attributes at the top of a message. */
enum ooo_ctl_attr {
	OOO_CTL_A_MAGIC = 1,
	OOO_CTL_A_VERSION = 2,
	OOO_CTL_A_AGENT_ID = 3,
	OOO_CTL_A_CURSOR = 4,
	OOO_CTL_A_TENANT_ID = 5,
#define GROUP(NAME, attr, key, help) OOO_CTL_A_##NAME = attr,
#include "verbs.def"
	/* of a request: */
	OOO_CTL_A_WEIGHT = 14,
	/* 15 was a partition's number */
	OOO_CTL_A_NAME = 16,
	OOO_CTL_A_CLASS = 17,
	OOO_CTL_A_SLO = 18,
	OOO_CTL_A_ADMISSION = 19,
	OOO_CTL_A_ISOLATE = 20,
	OOO_CTL_A_INFLIGHT = 21,
	OOO_CTL_A_RATE = 22,
	OOO_CTL_A_SM_MIN = 23,
	OOO_CTL_A_SM_MAX = 24,
	OOO_CTL_A_MEMORY = 25,
	OOO_CTL_A_PARTITION = 28,
	OOO_CTL_A_SMS = 29,
	OOO_CTL_A_DEVICE_INDEX = 30,
	OOO_CTL_A_POLICY_FD = 43,
	OOO_CTL_A_PROGRAM_NAME = 45,
	OOO_CTL_A_LIMIT = 64 /* every number is below this */
};

/* Attributes of an NLMSG_ERROR besides the kernel's own NLMSGERR_ATTR_*. */
#define OOO_CTL_ERR_AGENT_ID 64u

/* Attributes in a record: OOO_CTL_TENANT_NAME = 2. */
enum ooo_ctl_field {
#define FIELD(GROUP_, NAME, code, key, TYPE, VIEW, help) OOO_CTL_##GROUP_##_##NAME = code,
#include "verbs.def"
};
#define OOO_CTL_MAX_FIELDS 32 /* every field's code is below this */

enum ooo_ctl_access {
	OOO_CTL_READ,
	OOO_CTL_OWN,
	OOO_CTL_CHANGE,
};

enum ooo_ctl_reply {
	OOO_CTL_ONE,
	OOO_CTL_DUMP,
	OOO_CTL_ACK,
};

#ifndef __cplusplus
_Static_assert(OOO_CTL_TYPE_BASE >= NLMSG_MIN_TYPE, "types below are the kernel's");
#endif

#endif
