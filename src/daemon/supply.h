/*
 * supply.h - what workers need for https: packed by the master, unpacked in a worker.
 *
 * Trust is a parcel of texts (parcel.h, as config sources): the system's roots, the list of hosts
 * that are never opened, and each file that an extra_ca names, under its path. The key of the
 * authority is none of these; it never leaves the signer (signing.h).
 */
#ifndef DEJUNK_DAEMON_SUPPLY_H
#define DEJUNK_DAEMON_SUPPLY_H

#include "daemon/messages.h"
#include "daemon/parcel.h"
#include "proxy/proxy.h"

enum {
    SUPPLY_FILES = 64,                    // that extra_ca names, in all
    SUPPLY_FILE_BYTES = 2 * 1024 * 1024,  // of one of them, and of the list
    SUPPLY_AUTHORITY_BYTES = 256 * 1024,  // of its chain
    SUPPLY_TICKETS_MS = 24 * 3600 * 1000, // a new key each day
};

/* Reads the files. ERROR_CONFIG where one that the config names cannot be read or holds no
 * certificates, ERROR_LIMIT. */
enum error_kind supply_pack_trust(struct parcel *out, const struct config *config,
                                  struct error *error);

/* For a worker. What cannot be used is logged, and what was in force before stays. The descriptor
 * stays the caller's; -1: nothing is done. */
void supply_use_trust(struct proxy *proxy, const struct parcel *parcel);
void supply_use_authority(struct proxy *proxy, const struct parcel *parcel);
void supply_use_learned(struct proxy *proxy, const struct parcel *parcel);
void supply_use_tickets(struct proxy *proxy, const struct message_tickets *tickets);

/* A new key in front, the oldest goes. */
void supply_renew_tickets(struct message_tickets *tickets);

#endif
