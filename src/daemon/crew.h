/*
 * crew.h - the processes of one master: its workers, and the others of a small table.
 *
 * Knows how many workers there should be, what each new one begins with, and tells them all what
 * the master tells. A worker has a place: a number (which sockets are its own under reuse_port)
 * and a page of counters, both of which outlive the process in it. A worker that is too many is
 * retired: it drains and is not replaced.
 */
#ifndef DEJUNK_DAEMON_CREW_H
#define DEJUNK_DAEMON_CREW_H

#include "daemon/child.h"
#include "daemon/listeners.h"
#include "daemon/names.h"
#include "daemon/parcel.h"
#include "daemon/shared.h"

enum { CREW_WORKERS = LISTENER_PLACES }; // more are not started

/* What a new process begins with. The master's; it keeps this true at all times. */
struct crew_begin {
    struct config *config;
    const struct listeners *listeners;
    struct names_texts names;
    struct span via_pseudonym;
    struct shared *shared;
    const struct stubs *stubs;
    const unsigned char *visit_secret; // proxy/visit.h
    const unsigned char *site_secret;  // proxy/secret.h
    int rules;                         // the compiled database; -1: none
    int access_log;                    // -1: none
    int passes;                        // as in PASSES; -1: none
    uint64_t passes_bytes;
    int follow;                              // as in FOLLOW; -1: nobody follows
    struct parcel authority, trust, learned; // as in AUTHORITY, TRUST, LEARNED
    struct message_tickets tickets;
    int verbosity;
};

/* A process beside the workers. */
struct crew_start {
    const struct crew_begin *begin;
    int channel; // messages with the master: it says READY, answers PING and CONFIGURE, ends on
                 // DRAIN and when the channel ends
};
struct crew_role {
    const char *name;                           // "admin"
    int (*run)(const struct crew_start *start); // in the new process; returns its exit code
    enum message_type line; // it gets a line of its own to each worker, in such a message (LOCAL,
                            // SIGNER), and the worker the other end; MESSAGE_NONE: it gets none
};

struct crew_events {
    /* Every process that should be there serves, for the first time. */
    void (*on_complete)(void *owner);
    /* One of them could not even begin, before all were there: its exit code. */
    void (*on_hopeless)(void *owner, int exit_code);
    /* All that crew_configure() told have answered or ended. */
    void (*on_configured)(void *owner);
    /* A process beside the workers wants something: RELOAD, PASSES, LEARNED, AUTHORITY, FOLLOW or
     * NO_FOLLOW. Whoever keeps its descriptor puts -1 in its place. */
    void (*on_asked)(void *owner, struct message *message);
    /* Every worker has taken what it was told of PASSES, LEARNED and RULES, or has ended. */
    void (*on_settled)(void *owner);
    /* A process began to serve, or ended. */
    void (*on_changed)(void *owner);
    /* After crew_drain(): nobody is left. */
    void (*on_empty)(void *owner);
};

struct crew;

/* Starts nothing yet. `begin` and `roles` are borrowed for the crew's life. */
struct crew *crew_new(struct loop *loop, const struct crew_begin *begin,
                      const struct crew_role *roles, size_t role_count,
                      const struct crew_events *events, void *owner);
/* Kills whoever is left. Sets *crew to NULL. */
void crew_free(struct crew **crew);

/* Starts the processes beside the workers that do not run. */
void crew_start_others(struct crew *crew);
/* Ends the process of that role, if it runs, and begins another at once. */
void crew_replace(struct crew *crew, const struct crew_role *role);

/* Starts or retires workers until there are `workers` (1 to CREW_WORKERS), and what of the other
 * processes does not run. */
void crew_set_size(struct crew *crew, size_t workers);

/* To every worker, retired ones too; `message` is one that does not differ from one to another. */
void crew_tell_workers(struct crew *crew, const struct message *message);
/* No worker owes an answer to PASSES, LEARNED or RULES. */
bool crew_is_settled(const struct crew *crew);
/* To the processes beside the workers. */
void crew_tell_others(struct crew *crew, const struct message *message);
/* A listener that is new: to each worker not retired its own socket. */
void crew_listen(struct crew *crew, const struct listener *listener);
/* CONFIGURE, to every process not retired. A worker that refuses is replaced by one that begins
 * with the new config. Answers to an earlier one count no more. */
void crew_configure(struct crew *crew, const struct message *configure);

/* Nobody is replaced from now on. Workers get DRAIN; the others do when no worker is left.
 * within_ms -1: no limit. Else whoever is left then, and a bit, is killed. May be called again
 * with another limit. */
void crew_drain(struct crew *crew, int64_t within_ms);

struct crew_counts {
    size_t workers, serving_workers; // retired ones not counted
    size_t retired;
    uint64_t restarts;
};
struct crew_counts crew_counts(const struct crew *crew);
/* To the log, a line for each process. */
void crew_dump(const struct crew *crew);

#endif
