/*
 * names.h - reads and watches resolv.conf and hosts for processes that open no file.
 *
 * Every directory on the way to a file is watched (inotify), through symbolic links, for the one
 * name that matters there, and the file itself: resolv.conf is often a link into /run whose target
 * is replaced by rename, or a mounted file written in place. What inotify cannot see (a mount over
 * the file, a network file system) is found by a look at the file each second. A change is
 * believed when it has been quiet for NAMES_QUIET_MS. Knows nothing of what the texts mean.
 */
#ifndef DEJUNK_DAEMON_NAMES_H
#define DEJUNK_DAEMON_NAMES_H

#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"

enum {
    NAMES_RESOLV_CONF_BYTES = 64 * 1024, // a longer file is not taken, the one before stays
    NAMES_HOSTS_BYTES = 16 * 1024 * 1024,
    NAMES_QUIET_MS = 100,
    NAMES_PATIENCE_MS = 400, // but no longer than this after the first sign
    NAMES_LINKS = 40,        // symbolic links followed, as in the kernel
};

struct names;

struct names_texts { // borrowed until the next change
    struct span resolv_conf;
    struct span hosts;
};

/* Reads both at once. A file that is not there is an empty text; one that cannot be read, too,
 * with a warning in the log. on_changed() is called from the loop, only when a text is really
 * another than before. */
struct names *names_new(struct loop *loop, struct span resolv_conf_path, struct span hosts_path,
                        void (*on_changed)(void *owner), void *owner);
void names_free(struct names **names);

/* Other paths; what is there is read at once. True when a text is another than before;
 * on_changed() is not called for it. */
bool names_set_paths(struct names *names, struct span resolv_conf_path, struct span hosts_path);

struct names_texts names_texts(const struct names *names);

#endif
