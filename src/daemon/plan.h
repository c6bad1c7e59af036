/*
 * plan.h - all that a start or a reload needs from outside, built fully before anybody hears of it.
 *
 * Reads and checks the config and what it names for https, opens the access log and the listening
 * sockets, packs the config's sources for other processes. When any of it fails there is no plan,
 * and what was in force before is as it was.
 */
#ifndef DEJUNK_DAEMON_PLAN_H
#define DEJUNK_DAEMON_PLAN_H

#include "daemon/daemon.h"
#include "daemon/listeners.h"
#include "daemon/parcel.h"

struct plan {
    struct config *config;
    struct listeners listeners;
    int access_log; // -1: none
    int sources;    // the parcel of the config's sources (parcel.h)
    uint64_t sources_bytes;
    struct parcel trust; // supply.h
};

/* Reads and checks the config and packs its sources; opens nothing yet. ERROR_CONFIG and
 * ERROR_LIMIT: the config is to blame. End with plan_done(). */
enum error_kind plan_read(struct plan *out, const struct daemon_options *options,
                          struct error *error);
/* Opens what the config asks for, taking what it can use of the `old` listeners, which may be an
 * empty set and stays as it is. On failure the plan is as plan_read() left it, or half open: to be
 * ended. */
enum error_kind plan_open(struct plan *plan, const struct listeners *old, struct error *error);
/* Whoever took something out of it has put NULL, an empty set or -1 in its place. */
void plan_done(struct plan *plan);

/* As many workers as the config says, or one for each CPU that this process may run on. */
size_t plan_workers(const struct config *config);
/* Opens the config's access log, once more if need be; -1 when it wants none. */
enum error_kind plan_open_access_log(int *fd, const struct config *config, struct error *error);

#endif
