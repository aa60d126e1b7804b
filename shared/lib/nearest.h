/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OOO_LIB_NEAREST_H
#define OOO_LIB_NEAREST_H

/* The index of the word most like `given`; -1 if none is alike. Dashes in
 * front do not count. */
int nearest_word(const char *given, const char *const *words, int nr);

#endif
