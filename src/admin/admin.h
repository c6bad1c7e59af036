/*
 * admin.h - what a person looks at and sets: the web face, the control socket, the book of passes.
 *
 * Joins the rooms of this folder in one process. What the processes around it are to do (reload,
 * take the passes, send lines to be followed) it says through seams that daemon/ fills in. The book
 * is kept in STATE/passes, what was learned in STATE/learned; the control socket is
 * RUNTIME/control.sock and there once this is the service.
 */
#ifndef DEJUNK_ADMIN_ADMIN_H
#define DEJUNK_ADMIN_ADMIN_H

#include "admin/overview.h"
#include "io/loop.h"
#include "state/config.h"

struct admin; // opaque

struct admin_seams {
    /* The service's config is to be read anew; overview_state.reload_number says when `number` is
     * done. */
    void (*reload)(void *owner, uint64_t number);
    /* The text of passbook.h, for all workers; overview_state.passes_number says when they have
     * it. */
    void (*push_passes)(void *owner, uint64_t number, struct span text);
    /* The same for the text of proxy/learned.h; the numbers go on. */
    void (*push_learned)(void *owner, uint64_t number, struct span text);
    /* Log lines are wanted, or no longer: one in each packet on this socket, which stays admin's.
     * -1: no longer. */
    void (*follow)(void *owner, int fd);
    void (*read_counters)(void *owner, uint64_t counters[METRICS_COUNT]);
    /* Into empty totals, sorted. */
    void (*read_hosts)(void *owner, struct host_totals *totals);
    void *owner;
};

struct admin_setup {
    struct loop *loop;
    struct config *config;             // referenced, not taken over
    const char *state_dir;             // borrowed until admin_new() returns; empty: there is none
    int master;                        // its pid
    const unsigned char *visit_secret; // proxy/visit.h; copied
    struct admin_seams seams;          // copied
};

/* Reads the book and pushes it. A damaged one is put aside with a warning. */
struct admin *admin_new(const struct admin_setup *setup);
void admin_free(struct admin **admin);

/* A connection of a worker for our own name; taken over. */
void admin_take_caller(struct admin *admin, int fd);
/* A worker's note of a handshake (proxy/learned.h). */
void admin_take_note(struct admin *admin, struct span packet);
void admin_configure(struct admin *admin, struct config *config);
/* What the master says; opens the control socket when this has become the service. */
void admin_use_state(struct admin *admin, const struct overview_state *state);

/* RUNTIME/control.sock of that config. False when it does not fit or there is no such directory
 * for who runs this. */
bool admin_control_path(char *to, size_t size, const struct config *config);

#endif
