/*
 * config_sources.h - where the config's texts come from: the main file, drop-ins, -D settings.
 *
 * Reads files, and understands nothing of what stands in them. Also knows where files and
 * directories are when nobody says so, for root and for a user.
 */
#ifndef DEJUNK_STATE_CONFIG_SOURCES_H
#define DEJUNK_STATE_CONFIG_SOURCES_H

#include "base/arena.h"
#include "base/error.h"

enum {
    CONFIG_SOURCE_BYTES = 1 << 20, // at most in one file, and in all settings together
    CONFIG_DROP_INS = 256,         // at most
};

struct config_source {
    struct span name; // path, or "-D"; for messages
    struct span text;
};

/* The main file, then drop-ins in order, then -D settings (as a source named "-D"). */
struct config_sources {
    struct arena arena;
    struct config_source *items;
    size_t count;
};

/* Reads `path`, then every *.conf in the directory PATH.d (/etc/dejunk/proxy.conf.d) in the order
 * of their bytes, then `settings` ("key=value", from -D) as one source with a line for each.
 * path NULL: no file, the defaults; a main file that is not there is empty where there are
 * drop-ins. ERROR_CONFIG when a file cannot be read, is too large or there are too many. Nothing is
 * to be freed then. */
enum error_kind config_sources_read(struct config_sources *out, const char *path,
                                    const char *const *settings, size_t setting_count,
                                    struct error *error);
void config_sources_done(struct config_sources *sources);

/* "/etc/dejunk/proxy.conf" for root, "$XDG_CONFIG_HOME/dejunk/proxy.conf" else, into `to`;
 * false when neither that file nor a drop-in exists (`to` still has its name, or "" when there is
 * no home). */
bool config_default_path(char *to, size_t size);

enum config_dir { CONFIG_STATE_DIR, CONFIG_RUNTIME_DIR, CONFIG_RULES_DIR };
/* Where state, sockets and own rules are for who runs this, when the config does not say:
 * /var/lib/dejunk, /run/dejunk and /etc/dejunk/rules.d for root, else under XDG_STATE_HOME,
 * XDG_RUNTIME_DIR and XDG_CONFIG_HOME. False when it does not fit or there is no home. systemd's
 * STATE_DIRECTORY and RUNTIME_DIRECTORY come first where they are set. */
bool config_default_dir(enum config_dir which, char *to, size_t size);

#endif
