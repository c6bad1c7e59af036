/*
 * pac.h - the script by which browsers find this proxy (proxy auto-configuration).
 *
 * The proxy is where the script itself was asked for. Our own name goes through the proxy; plain
 * host names, names of the local network and private addresses do not; should the proxy not
 * answer, browsers go directly.
 */
#ifndef DEJUNK_ADMIN_PAC_H
#define DEJUNK_ADMIN_PAC_H

#include "base/bytes.h"

/* `host` is the Host field that it was asked by; when that is our own name, or nothing that can be
 * put into a script, `otherwise` ("127.0.0.1:8119") is taken. False when `out` is full. */
bool pac_write(struct buffer *out, struct span host, struct span otherwise);

#endif
