/*
 * presence.h - is a peer that has finished sending still there to be sent to?
 *
 * On the wire one that closed its connection altogether looks like one that only finished sending,
 * until it is sent something. Where nothing can be sent, the kernel's keep-alive probes tell: who
 * is there acknowledges them, who closed does not or answers with a reset. Knows nothing of
 * streams.
 */
#ifndef DEJUNK_IO_PRESENCE_H
#define DEJUNK_IO_PRESENCE_H

#include <stdbool.h>

enum {
    PRESENCE_EACH_S = 2,     // a probe
    PRESENCE_PROBES = 3,     // without an answer: it is gone
    PRESENCE_LOOK_MS = 1000, // how often to look is reasonable
};

/* From now on the kernel asks. Harmless on what is no TCP socket, which is then never lost. */
void presence_ask(int fd);
/* Is it known to be gone? */
bool presence_is_lost(int fd);

#endif
