/*
 * keep.h - small files that must be whole: written beside and moved into place, read with a limit.
 *
 * After a crash at any moment either the old text or the new one is there. A text that turns out
 * to be damaged is put aside under another name, for whoever wants to look. Knows nothing of what
 * the texts mean.
 */
#ifndef DEJUNK_ADMIN_KEEP_H
#define DEJUNK_ADMIN_KEEP_H

#include "base/bytes.h"
#include "base/error.h"

#define KEEP_ASIDE ".damaged"

/* Mode 0600; on disk when it returns. ERROR_SYSTEM: the old text is still there. */
enum error_kind keep_write(const char *path, struct span text, struct error *error);
/* Appends to `out`, whose limit is the file's. A file that is not there is an empty text.
 * ERROR_LIMIT, ERROR_SYSTEM. */
enum error_kind keep_read(const char *path, struct buffer *out, struct error *error);
/* For one that cannot be read or used, so that the next text is not written over it: moves it to
 * PATH.damaged, in place of an earlier one, and logs that, why, and what is `lost` by it. */
void keep_put_aside(const char *path, const struct error *why, const char *lost);

#endif
