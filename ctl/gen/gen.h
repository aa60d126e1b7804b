/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ooo-gen, a tool of the build: it makes the manual pages and the shells' completions from the tables
 * that the programs are made from, and from the prose below packaging/.
 */
#ifndef OOO_CTL_GEN_H
#define OOO_CTL_GEN_H

#include <stdio.h>

/* Text as troff shows it: nothing in it is taken for a request or an escape. */
void gen_text(FILE *f, const char *text);

/* tables.c: a table by its name ("verbs", "run-options", ...) and argument. 0; -1: there is none. */
int gen_table(FILE *f, const char *name, const char *arg);
/* All of ooo.h that a program needs to know. */
int gen_header(FILE *f, const char *path);
void gen_object_page(FILE *f, int object, const char *prose_path);

/* completion.c */
void gen_bash(FILE *f);
void gen_zsh(FILE *f);

#endif
