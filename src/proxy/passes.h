/*
 * passes.h - passes given and pauses, as one worker keeps them: whose requests are not filtered.
 *
 * A pass is for a host with all below it, or for every host (a pause), for one client or for all,
 * until a time. It ends by itself: whoever asks says what time it is. Whoever gave them is not
 * known here; a new set replaces the old one whole.
 */
#ifndef DEJUNK_PROXY_PASSES_H
#define DEJUNK_PROXY_PASSES_H

#include "io/address.h"
#include "proxy/proxy.h"

struct passes; // opaque

struct passes *passes_new(void);
void passes_free(struct passes **passes);

/* Copies; what was there before is gone. A pass whose client is no address is left out, and so is
 * what is beyond PROXY_PASSES. */
void passes_set(struct passes *passes, const struct proxy_passes *from);

/* None is kept: no need to ask, nor for the time. */
bool passes_are_empty(const struct passes *passes);
/* Is there a pass for this host (lower case, no brackets) or one above it, for this client, now?
 * Time as in struct proxy_pass. */
bool passes_allow(const struct passes *passes, struct span host, const struct address *client,
                  uint64_t now_ms);

#endif
