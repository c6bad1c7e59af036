/*
 * orders.h - a process's end of its channel to the master: what all of them answer alike.
 *
 * PING is answered; of CONFIGURE the config is read and CONFIGURED says how that went; the rest is
 * its holder's. When the master is gone, or sends what is no message, the process ends. Lives
 * inside its owner.
 */
#ifndef DEJUNK_DAEMON_ORDERS_H
#define DEJUNK_DAEMON_ORDERS_H

#include "daemon/messages.h"
#include "io/loop.h"
#include "state/config.h"

struct orders_events {
    /* A new config; who keeps it takes a reference. What it returns is told to the master. */
    enum error_kind (*on_config)(void *owner, struct config *config, struct error *error);
    /* Any other message; whoever keeps its descriptor puts -1 in its place. False: it is not one
     * for this process. */
    bool (*on_message)(void *owner, struct message *message);
};

struct orders { // orders.c only
    struct loop *loop;
    int channel;
    ev_io incoming;
    const struct orders_events *events;
    void *owner;
    int exit_code;
};

/* Says READY and obeys until orders_end() is called or the master is gone; returns the process's
 * exit code (sysexits.h). `events` and the channel are borrowed. */
int orders_serve(struct orders *orders, struct loop *loop, int channel,
                 const struct orders_events *events, void *owner);
/* No further message is read, and the loop stops. */
void orders_end(struct orders *orders, int exit_code);

#endif
