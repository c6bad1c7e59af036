/*
 * master.h - the process that keeps the others: signals, reloads, drains, successors.
 *
 * Owns the listening sockets, the config in force, the watch on resolv.conf and hosts, the access
 * log's descriptor and the crew. Parses no byte from the network. A reload builds the new state
 * fully and checks it, then tells everybody; on any error the old state stays and the reason is
 * logged and kept.
 *
 *     HUP  reload          USR1  open the access log anew     QUIT  say in the log how it stands
 *     USR2 start a successor        TERM, INT  drain, then end; the second one: end now
 */
#ifndef DEJUNK_DAEMON_MASTER_H
#define DEJUNK_DAEMON_MASTER_H

#include "daemon/crew.h"
#include "daemon/daemon.h"
#include "daemon/succession.h"

struct master;

struct master_setup {
    const struct daemon_options *options; // borrowed for the master's life, as are the roles
    const struct crew_role *roles;
    size_t role_count;
};

/* Reads the config; listens to nobody and starts nobody yet. The inheritance is taken over, also on
 * failure. */
enum error_kind master_new(struct master **out, const struct master_setup *setup,
                           struct inheritance *inheritance, struct error *error);
/* Has the rules made, opens what the config asks for, starts everybody. Runs until a signal ends
 * it; returns the process's exit code. */
int master_run(struct master *master);
/* The exit code (sysexits.h) for what master_new() failed of. */
int master_exit_code(enum error_kind kind);
void master_free(struct master **master);

#endif
