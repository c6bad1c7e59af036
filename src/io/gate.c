#include "io/gate.h"

#include <assert.h>

/* Whenever somebody waits and a place is free, the grant task is queued. */
static void keep_granting(struct gate *gate)
{
    if (gate->first && gate->held < gate->places)
        loop_later(gate->loop, &gate->grant);
}

static void leave_line(struct gate *gate, struct gate_ticket *ticket)
{
    *ticket->link = ticket->next;
    if (ticket->next)
        ticket->next->link = ticket->link;
    else
        gate->last = ticket->link;
    ticket->next = NULL;
    ticket->link = NULL;
    gate->waiting--;
}

/* One at a time, because the gate may be gone when the callback returns. */
static void grant_next(void *owner)
{
    struct gate *gate = owner;
    struct gate_ticket *ticket = gate->first;

    if (!ticket || gate->held >= gate->places)
        return;
    leave_line(gate, ticket);
    ticket->is_holding = true;
    gate->held++;
    keep_granting(gate);
    ticket->on_granted(ticket->owner);
}

void gate_init(struct gate *gate, struct loop *loop, size_t places)
{
    assert(places > 0);
    *gate = (struct gate){ .loop = loop,
                           .places = places,
                           .last = &gate->first,
                           .grant = { .run = grant_next, .owner = gate } };
}

void gate_done(struct gate *gate)
{
    assert(gate->held == 0 && gate->waiting == 0);
    loop_later_cancel(gate->loop, &gate->grant);
}

void gate_set_places(struct gate *gate, size_t places)
{
    assert(places > 0);
    gate->places = places;
    keep_granting(gate);
}

bool gate_enter(struct gate *gate, struct gate_ticket *ticket)
{
    assert(!ticket->gate);
    ticket->gate = gate;
    if (gate->held < gate->places && gate->waiting == 0) {
        ticket->is_holding = true;
        gate->held++;
        return true;
    }
    ticket->is_holding = false;
    ticket->next = NULL;
    ticket->link = gate->last;
    *gate->last = ticket;
    gate->last = &ticket->next;
    gate->waiting++;
    return false;
}

void gate_leave(struct gate_ticket *ticket)
{
    struct gate *gate = ticket->gate;

    if (!gate)
        return;
    ticket->gate = NULL;
    if (ticket->is_holding) {
        ticket->is_holding = false;
        gate->held--;
    } else {
        leave_line(gate, ticket);
    }
    keep_granting(gate);
}
