// SPDX-License-Identifier: Apache-2.0
/*
 * The policy file: checked here without an agent, or handed to the agent in a sealed memfd. `load`
 * shows the difference first; the agent checks again and puts all of it in force, or nothing.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/policy/file.h"
#include "ctl/print.h"
#include "ctl/verb.h"

struct text {
	char *at;
	size_t bytes;
};

static enum ctl_exit fail_file(struct session *s, const char *path, int err)
{
	snprintf(s->why, sizeof(s->why), "%s: %s", path, strerror(err));
	return CTL_REFUSED;
}

static int add(struct text *t, const char *from, size_t bytes)
{
	char *more = realloc(t->at, t->bytes + bytes + 1);

	if (!more)
		return -ENOMEM;
	memcpy(more + t->bytes, from, bytes);
	t->at = more;
	t->bytes += bytes;
	t->at[t->bytes] = '\0';
	return 0;
}

/* "-" is standard input. */
static enum ctl_exit read_text(struct session *s, const char *path, struct text *out)
{
	FILE *f = strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
	char piece[65536];
	size_t n;
	int err = 0;

	if (!f)
		return fail_file(s, path, errno);
	while (!err && (n = fread(piece, 1, sizeof(piece), f))) {
		err = add(out, piece, n);
		if (out->bytes > POLICY_FILE_MAX)
			err = -EFBIG;
	}
	if (!err && ferror(f))
		err = errno ? -errno : -EIO;
	if (f != stdin)
		fclose(f);
	return err ? fail_file(s, path, -err) : CTL_OK;
}

/* The text, once it is a good policy. */
static enum ctl_exit read_policy(struct session *s, const char *path, struct text *out,
				 uint32_t *rules)
{
	char why[POLICY_WHY_BYTES];
	struct policy_file *f;
	enum ctl_exit code = read_text(s, path, out);

	if (code != CTL_OK)
		return code;
	if (policy_file_parse(out->at ? out->at : "", out->bytes, &f, why, sizeof(why))) {
		snprintf(s->why, sizeof(s->why), "%s: %s", path, why);
		return CTL_REFUSED;
	}
	*rules = policy_file_rules(f);
	policy_file_free(f);
	return CTL_OK;
}

static enum ctl_exit say_rules(struct session *s, const char *key, uint32_t rules)
{
	cJSON *done;

	if (!s->cmd->json) {
		printf("%s, %u rules\n", key, rules);
		return CTL_OK;
	}
	done = cJSON_CreateObject();
	cJSON_AddBoolToObject(done, key, true);
	cJSON_AddNumberToObject(done, "rules", rules);
	if (!print_json(stdout, done, false))
		return CTL_OK;
	snprintf(s->why, sizeof(s->why), "out of memory");
	return CTL_REFUSED;
}

enum ctl_exit verb_policy_check(struct session *s)
{
	struct text t = { 0 };
	uint32_t rules = 0;
	enum ctl_exit code = read_policy(s, s->cmd->text[CTL_ARG_POLICY_CHECK_FILE], &t, &rules);

	free(t.at);
	return code == CTL_OK ? say_rules(s, "good", rules) : code;
}

/* ---- diff, load ------------------------------------------------------------------------------ */

static int seal(const struct text *t)
{
	int fd = memfd_create("ooo-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	if (fd < 0)
		return -1;
	while (at < t->bytes) {
		ssize_t n = write(fd, t->at + at, t->bytes - at);

		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	if (at == t->bytes &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		return fd;
	close(fd);
	return -1;
}

static int take_change(int attr, struct nlattr *nest, void *arg)
{
	return attr == OOO_CTL_A_CHANGE ? records_add(arg, group_find(attr), nest) : 0;
}

static enum ctl_exit fetch_changes(struct session *s, int fd, struct records *rs)
{
	const struct ctl_verb_info *v = &ctl_verbs[CTL_VERB_POLICY_DIFF];
	struct link_request request = {
		.type = v->type,
		.reply = v->reply,
	};

	link_put(&request, OOO_CTL_A_POLICY_FD, (uint64_t)fd, NULL);
	return ctl_link_call(s->link, &request, take_change, rs, s->why, sizeof(s->why));
}

/* The file in a memfd, and what it would change. */
static enum ctl_exit open_changes(struct session *s, const char *path, int *fd, uint32_t *rules,
				  struct records *rs)
{
	struct text t = { 0 };
	enum ctl_exit code = read_policy(s, path, &t, rules);

	*fd = -1;
	if (code == CTL_OK) {
		*fd = seal(&t);
		code = *fd < 0 ? fail_file(s, "memfd", errno) : fetch_changes(s, *fd, rs);
	}
	free(t.at);
	return code;
}

enum ctl_exit verb_policy_diff(struct session *s)
{
	const struct group *group = group_find(OOO_CTL_A_CHANGE);
	struct records rs = { 0 };
	uint32_t rules = 0;
	int fd;
	enum ctl_exit code =
		open_changes(s, s->cmd->text[CTL_ARG_POLICY_DIFF_FILE], &fd, &rules, &rs);

	if (code == CTL_OK && !s->cmd->json)
		print_table(stdout, &rs, group);
	if (code == CTL_OK && s->cmd->json && print_json(stdout, json_records(&rs, group), false)) {
		snprintf(s->why, sizeof(s->why), "out of memory");
		code = CTL_REFUSED;
	}
	records_free(&rs);
	if (fd >= 0)
		close(fd);
	return code;
}

static enum ctl_exit say_loaded(struct session *s, uint32_t rules, const struct records *rs)
{
	const struct group *group = group_find(OOO_CTL_A_CHANGE);
	cJSON *done;

	if (!s->cmd->json) {
		if (rs->nr)
			print_table(stdout, rs, group);
		printf("loaded, %u rules, %zu tenants changed\n", rules, rs->nr);
		return CTL_OK;
	}
	done = cJSON_CreateObject();
	cJSON_AddBoolToObject(done, "loaded", true);
	cJSON_AddNumberToObject(done, "rules", rules);
	cJSON_AddItemToObject(done, group->key, json_records(rs, group));
	if (!print_json(stdout, done, false))
		return CTL_OK;
	snprintf(s->why, sizeof(s->why), "out of memory");
	return CTL_REFUSED;
}

enum ctl_exit verb_policy_load(struct session *s)
{
	const struct ctl_verb_info *v = &ctl_verbs[CTL_VERB_POLICY_LOAD];
	struct link_request request = { .type = v->type, .reply = v->reply };
	struct records rs = { 0 };
	uint32_t rules = 0;
	int fd;
	enum ctl_exit code =
		open_changes(s, s->cmd->text[CTL_ARG_POLICY_LOAD_FILE], &fd, &rules, &rs);

	if (code == CTL_OK) {
		link_put(&request, OOO_CTL_A_POLICY_FD, (uint64_t)fd, NULL);
		code = ctl_link_call(s->link, &request, take_change, &rs, s->why, sizeof(s->why));
	}
	if (code == CTL_OK)
		code = say_loaded(s, rules, &rs);
	records_free(&rs);
	if (fd >= 0)
		close(fd);
	return code;
}

/* ---- show, save ------------------------------------------------------------------------------ */

static int take_text(int attr, struct nlattr *nest, void *arg)
{
	struct nlattr *a;

	if (attr != OOO_CTL_A_POLICY)
		return 0;
	a = nla_find(nla_data(nest), nla_len(nest), OOO_CTL_POLICY_TEXT);
	if (!a || nla_len(a) < 1)
		return -EPROTO;
	return add(arg, nla_data(a), strnlen(nla_data(a), (size_t)nla_len(a)));
}

static enum ctl_exit write_text(struct session *s, const char *path, const struct text *t)
{
	FILE *f = path ? fopen(path, "we") : stdout;
	bool good;

	if (!f)
		return fail_file(s, path, errno);
	good = fwrite(t->at, 1, t->bytes, f) == t->bytes;
	if (!path)
		return CTL_OK; /* main looks at standard output */
	if (fclose(f) || !good)
		return fail_file(s, path, errno);
	return CTL_OK;
}

/* It is JSON, and so the same with and without --json. */
enum ctl_exit verb_policy_show(struct session *s)
{
	const struct ctl_verb_info *v = &ctl_verbs[s->cmd->verb];
	struct link_request request = { .type = v->type, .reply = v->reply };
	const char *path = s->cmd->text[CTL_ARG_POLICY_SAVE_FILE];
	struct text t = { 0 };
	enum ctl_exit code =
		ctl_link_call(s->link, &request, take_text, &t, s->why, sizeof(s->why));

	if (code == CTL_OK && !t.at) {
		snprintf(s->why, sizeof(s->why), "the agent's answer has no policy");
		code = CTL_REFUSED;
	}
	if (code == CTL_OK)
		code = write_text(s, path && strcmp(path, "-") != 0 ? path : NULL, &t);
	free(t.at);
	return code;
}
