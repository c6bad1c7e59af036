/*
 * stubs.h - what stands in for a stopped request when a rule says `redirect=`: small harmless
 * files, by the names that lists call them.
 *
 * The files are those of Debian's uBlock Origin package; the table of their names and aliases is
 * in stubs.c. Whoever may open files reads them (stubs_read), at start; workers have them in
 * memory since they were forked. Never changed after that.
 */
#ifndef DEJUNK_PROXY_STUBS_H
#define DEJUNK_PROXY_STUBS_H

#include "base/bytes.h"

enum { STUB_BYTES = 256 * 1024 }; // of one file

struct stub {
    struct span bytes;
    struct span content_type;
};

struct stubs; // opaque

/* Reads what is there of the table's files in `directory`; the usual one when NULL. Without any
 * file it still has the smallest ones (noop.js, 1x1.gif, empty ...). */
struct stubs *stubs_read(const char *directory);
void stubs_free(struct stubs **stubs);

/* By name or alias, a priority behind a colon left out ("noop.js:100"). False: not known, or its
 * file was not there. */
bool stubs_find(const struct stubs *stubs, struct span name, struct stub *out);

#endif
