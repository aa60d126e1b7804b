/* SPDX-License-Identifier: Apache-2.0 */
/* The error sentence of the calling thread. */
#include <stdarg.h>
#include <stdio.h>

#include "shared/onnx/error.h"
#include "shared/onnx/ooo-onnx.h"

static _Thread_local char sentence[640];

void onnx_set_error(const char *fmt, ...)
{
	char text[sizeof(sentence)];
	va_list ap;
	size_t i;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* The arguments may point into the old sentence, so it is replaced only now. */
	for (i = 0; text[i]; i++)
		sentence[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	sentence[i] = '\0';
}

const char *ooo_onnx_error(void)
{
	return sentence;
}
