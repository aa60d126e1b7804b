/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr, one event a line, one write(2) each: "ooo-agent: tenant 3 ...". Any thread.
 * What a tenant can cause goes through log_tenant(), which lets through a bounded number of lines of
 * each level a second and says how many it kept back: a hostile tenant must not fill a disk.
 */
#ifndef OOO_AGENT_LOG_H
#define OOO_AGENT_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR, /* the agent cannot go on, or something of its own is broken */
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG, /* with --verbose */
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_tenant(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
