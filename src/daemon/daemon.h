/*
 * daemon.h - the service as a whole: from a config file to a running master and its workers.
 *
 * This is what cli/ sees of daemon/.
 */
#ifndef DEJUNK_DAEMON_DAEMON_H
#define DEJUNK_DAEMON_DAEMON_H

#include <stddef.h>

struct daemon_options {
    const char *config_path;     // NULL: no file, the defaults
    const char *const *settings; // "key=value", from -D
    size_t setting_count;
    int verbosity; // levels added to the config's log_level; may be negative
};

/* Runs in the foreground until a signal ends it. Returns the process's exit code (sysexits.h). */
int daemon_run(const struct daemon_options *options);

#endif
