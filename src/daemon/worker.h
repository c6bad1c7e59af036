/*
 * worker.h - the process that carries traffic: one loop, one struct proxy, in the jail.
 *
 * Begins after fork with what the master's memory held, hears of all changes by messages
 * (messages.h), opens no file ever. Ends when the master says so and its exchanges are over, or at
 * once when the master is gone.
 */
#ifndef DEJUNK_DAEMON_WORKER_H
#define DEJUNK_DAEMON_WORKER_H

#include "base/metrics.h"
#include "daemon/listeners.h"
#include "daemon/parcel.h"
#include "state/config.h"

struct message_tickets;
struct stubs;

struct worker_setup { // all borrowed from the master's memory as it was at fork
    const char *name; // "worker 0", for the log
    size_t place;     // which sockets of the listeners are its own
    int channel;
    int verbosity; // levels added to the config's log_level
    struct config *config;
    const struct listeners *listeners;
    struct span resolv_conf, hosts;
    struct span via_pseudonym;
    struct metrics *metrics;
    const struct stubs *stubs;
    const unsigned char *visit_secret, *site_secret;
    int rules;      // the compiled database; -1: none
    int access_log; // -1: none
    int passes;     // passes given, as in PASSES; -1: none
    uint64_t passes_bytes;
    int follow; // a socket, as in FOLLOW; -1: nobody follows
    struct parcel authority, trust, learned;
    const struct message_tickets *tickets;
    int local; // a channel for CALLER messages to the admin process; -1: none
};

/* Returns the process's exit code (sysexits.h). */
int worker_run(const struct worker_setup *setup);

/* The log level that the config and the command line make together. */
enum log_level worker_log_level(const struct config *config, int verbosity);

#endif
