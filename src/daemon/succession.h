/*
 * succession.h - a new binary takes over the sockets of the running one (USR2).
 *
 *     predecessor                                        successor
 *     fork, exec of the program's path      ------->     finds DEJUNK_SUCCEEDS=descriptor
 *     LISTEN (each socket), COUNTERS,
 *     TICKETS, HANDED_OVER                  ------->     adopts them, starts its workers
 *                                           <--- READY   all of them serve
 *     tells systemd of the new main process
 *     GO_ON, drains                         ------->     is the service
 *
 * When the successor ends, is silent for SUCCESSION_MS or speaks another protocol, it is killed
 * and the predecessor goes on as if nothing had been. Both accept from the same sockets meanwhile,
 * so no connection is lost.
 */
#ifndef DEJUNK_DAEMON_SUCCESSION_H
#define DEJUNK_DAEMON_SUCCESSION_H

#include "daemon/listeners.h"
#include "daemon/messages.h"
#include "daemon/shared.h"
#include "io/loop.h"

enum { SUCCESSION_MS = 30000 };

/* ---- the predecessor's side ---- */

struct succession;

struct succession_events {
    void (*on_ready)(void *owner, int pid);          // then succession_go_on()
    void (*on_failed)(void *owner, const char *why); // then succession_free()
};

/* How this process was started, kept from its beginning: the path of its program, which may be
 * another file by then, and its arguments. */
struct succession_program {
    char *path;
    char **arguments; // ended by NULL
};
enum error_kind succession_program_read(struct succession_program *out, struct error *error);
void succession_program_done(struct succession_program *program);

enum error_kind succession_start(struct succession **out, struct loop *loop,
                                 const struct succession_program *program,
                                 const struct listeners *listeners, const struct shared *shared,
                                 const struct message_tickets *tickets,
                                 const struct succession_events *events, void *owner,
                                 struct error *error);
/* After on_ready(): the service is the successor's. */
void succession_go_on(struct succession *succession);
/* Kills a successor that has not been told to go on. Sets *succession to NULL. */
void succession_free(struct succession **succession);

/* ---- the successor's side ---- */

struct inheritance {
    int channel;                    // to the predecessor; -1: there is none
    struct listeners listeners;     // its sockets
    struct shared *shared;          // its counters; NULL when they are of another version
    struct message_tickets tickets; // its keys for sessions of browsers
};

/* Waits for all that the predecessor hands over; at once an empty inheritance when there is no
 * predecessor. Forgets DEJUNK_SUCCEEDS. */
enum error_kind succession_inherit(struct inheritance *out, struct error *error);
void inheritance_done(struct inheritance *inheritance);

#endif
