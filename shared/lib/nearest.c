// SPDX-License-Identifier: Apache-2.0
#include "shared/lib/nearest.h"

#include <string.h>

#define MAX_WORD 31 /* letters of a word that can be like another */
#define NONE     (-1)

static const char *bare(const char *word)
{
	return word + strspn(word, "-");
}

/* Edits between two words: letters added, left out, changed, or two neighbours swapped. */
static int distance(const char *a, const char *b)
{
	int d[MAX_WORD + 1][MAX_WORD + 1];
	int la = (int)strlen(a), lb = (int)strlen(b);

	if (la > MAX_WORD || lb > MAX_WORD)
		return 2 * MAX_WORD;
	for (int i = 0; i <= la; i++) {
		for (int j = 0; j <= lb; j++) {
			if (!i || !j) {
				d[i][j] = i + j;
				continue;
			}
			d[i][j] = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < d[i][j])
				d[i][j] = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < d[i][j])
				d[i][j] = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[la][lb];
}

int nearest_word(const char *given, const char *const *words, int nr)
{
	int best = NONE, best_distance = 0;

	for (int i = 0; i < nr; i++) {
		int len = (int)strlen(bare(words[i]));
		int edits = distance(bare(given), bare(words[i]));

		/* A third of the word may be wrong. */
		if (edits <= 1 + len / 3 && edits < len &&
		    (best == NONE || edits < best_distance)) {
			best = i;
			best_distance = edits;
		}
	}
	return best;
}
