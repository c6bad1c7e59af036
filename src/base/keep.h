/*
 * keep.h - small files that must be whole: written beside and moved into place, read with a limit.
 *
 * After a crash at any moment either the old text or the new one is there. A text that turns out
 * to be damaged is put aside under another name, for whoever wants to look. Knows nothing of what
 * the texts mean.
 */
#ifndef DEJUNK_BASE_KEEP_H
#define DEJUNK_BASE_KEEP_H

#include <sys/types.h>

#include "base/bytes.h"
#include "base/error.h"

#define KEEP_ASIDE ".damaged"

struct keep_owner { // of a file that root writes for somebody else
    uid_t user;
    gid_t group;
};

/* With that mode, whatever the umask; `owner` NULL: whoever writes it. On disk, file and name, when
 * it returns. ERROR_LIMIT for too long a path; ERROR_SYSTEM: the old text is still there, unless
 * the directory alone could not be synced. Never is anything left beside it. */
enum error_kind keep_write(const char *path, struct span text, mode_t mode,
                           const struct keep_owner *owner, struct error *error);
/* Appends to `out`, whose limit is the file's. A file that is not there is an empty text.
 * ERROR_LIMIT, ERROR_SYSTEM. */
enum error_kind keep_read(const char *path, struct buffer *out, struct error *error);
/* The same of what is open, to its end; `path` is for the message. */
enum error_kind keep_read_open(int fd, const char *path, struct buffer *out, struct error *error);
/* For one that cannot be read or used, so that the next text is not written over it: moves it to
 * PATH.damaged, in place of an earlier one, and logs that, why, and what is `lost` by it. */
void keep_put_aside(const char *path, const struct error *why, const char *lost);

/* Makes the directory and those above it, as far as they are not there; the umask applies.
 * ERROR_LIMIT, ERROR_SYSTEM. */
enum error_kind keep_directory(const char *path, mode_t mode, struct error *error);

#endif
