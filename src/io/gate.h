/*
 * gate.h - at most N holders at a time; the rest wait in line, first come first served.
 *
 * The connector passes two gates before it opens a socket: the origin's and the process's.
 * Knows nothing of hosts, sockets or HTTP. A ticket lives inside its owner, who calls
 * gate_leave() before it goes away, whether it is idle, waiting or holding.
 */
#ifndef DEJUNK_IO_GATE_H
#define DEJUNK_IO_GATE_H

#include "io/loop.h"

struct gate_ticket {
    void (*on_granted)(void *owner); // set by the owner, as is the next
    void *owner;
    struct gate *gate; // gate.c only, from here; NULL: idle
    bool is_holding;
    struct gate_ticket *next, **link;
};

struct gate { // lives inside its owner; gate.c only
    struct loop *loop;
    size_t places, held, waiting;
    struct gate_ticket *first, **last;
    struct loop_task grant;
};

/* A gate for `places` holders (1 or more). */
void gate_init(struct gate *gate, struct loop *loop, size_t places);
/* Needs every ticket idle. */
void gate_done(struct gate *gate);
/* Fewer than are held: holders stay, and nobody is let in until enough have left. */
void gate_set_places(struct gate *gate, size_t places);

/* Takes a place at once when one is free and nobody waits: true, and on_granted() is not called.
 * Else puts the idle ticket in line: false, and on_granted() comes later, from the loop. */
bool gate_enter(struct gate *gate, struct gate_ticket *ticket);

/* Gives the place back, or gives up waiting. Does nothing on an idle ticket. */
void gate_leave(struct gate_ticket *ticket);

#endif
