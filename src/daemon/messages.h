/*
 * messages.h - what the processes of dejunk tell each other: typed messages of fixed size, each
 * a packet on a SOCK_SEQPACKET socketpair, some with a descriptor.
 *
 * A packet is a header (magic with version, type, size of what follows) and the fields of its
 * type; the table MESSAGES says for each type how many bytes these are and whether a descriptor
 * comes along, and a packet that differs in any of this is refused whole. Long texts travel in
 * sealed memory (parcel.h). Knows nothing of who talks, nor of loops.
 */
#ifndef DEJUNK_DAEMON_MESSAGES_H
#define DEJUNK_DAEMON_MESSAGES_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    MESSAGE_NAME_BYTES = 64, // of a listener, as the config writes it
    MESSAGE_TEXT_BYTES = 500,
    MESSAGE_NOTE_BYTES = 1024,
    MESSAGE_TICKET_KEYS = 3,
    MESSAGE_TICKET_KEY_BYTES = 80,
};

struct message_number { // PING, PONG, RELOAD; SIGNER: the place of the worker
    uint64_t number;
};

struct message_parcel { // CONFIGURE, RULES, PASSES, LEARNED, TRUST, AUTHORITY: what is in memory
    uint64_t generation;
    uint64_t size_bytes;
};

struct message_configured { // CONFIGURED: how that went
    uint64_t generation;
    uint32_t kind; // enum error_kind
    char text[MESSAGE_TEXT_BYTES];
};

struct message_names { // NAMES: the descriptor holds resolv.conf, then hosts
    uint64_t resolv_conf_bytes;
    uint64_t hosts_bytes;
};

struct message_listener { // LISTEN, UNLISTEN
    char name[MESSAGE_NAME_BYTES];
    uint32_t place;     // with SO_REUSEPORT: whose it is
    uint32_t is_shared; // 1: one socket for all workers
    uint32_t is_passed; // 1: systemd gave it
};

struct message_drain { // DRAIN
    int64_t within_ms; // -1: no limit
};

struct message_note { // NOTE: an event of proxy/learned.h
    uint64_t size_bytes;
    char packet[MESSAGE_NOTE_BYTES]; // zeros behind it
};

struct message_tickets { // TICKETS: keys for the sessions of browsers, the newest first
    uint64_t count;
    unsigned char keys[MESSAGE_TICKET_KEYS][MESSAGE_TICKET_KEY_BYTES];
};

struct message_state {   // STATE: what the master knows, for whoever shows it
    uint64_t generation; // of the config in force
    uint64_t reloads, failed_reloads;
    uint64_t restarts; // workers replaced
    uint32_t workers, ready_workers;
    uint64_t reload_number;  // the newest RELOAD that is done; of the last process that asked
    uint64_t passes_number;  // generation of the newest PASSES that all workers have
    uint64_t last_reload_ms; // since 1970; 0: none yet
    uint64_t started_ms;     // since 1970
    uint64_t is_signing;     // 1: the signer has an authority
    uint64_t is_serving;     // 1: all are up, and nobody else is the service
    uint64_t is_succeeded;   // 1: somebody else is the service now, and keeps the state
    char last_error[MESSAGE_TEXT_BYTES]; // of the last reload; empty: it went well
};

struct message_none {
    char nothing[1]; // C has no empty structs; not sent
};

/* id, member of the union, bytes of it on the wire, with a descriptor, name for the log */
#define MESSAGES(ROW)                                                                              \
    ROW(READY, none, 0, 0, "ready") /* the sender is set up and serves */                          \
    ROW(PING, number, sizeof(struct message_number), 0, "ping")                                    \
    ROW(PONG, number, sizeof(struct message_number), 0, "pong")                                    \
    ROW(CONFIGURE, parcel, sizeof(struct message_parcel), 1, "configure")                          \
    ROW(CONFIGURED, configured, sizeof(struct message_configured), 0, "configured")                \
    ROW(NAMES, names, sizeof(struct message_names), 1, "names")                                    \
    ROW(RULES, parcel, sizeof(struct message_parcel), 1, "rules")                                  \
    ROW(LISTEN, listener, sizeof(struct message_listener), 1, "listen")                            \
    ROW(UNLISTEN, listener, sizeof(struct message_listener), 0, "unlisten")                        \
    ROW(ACCESS_LOG, none, 0, 1, "access-log") /* lines go there from now on */                     \
    ROW(NO_ACCESS_LOG, none, 0, 0, "no-access-log")                                                \
    ROW(DRAIN, drain, sizeof(struct message_drain), 0, "drain")                                    \
    ROW(DRAINED, none, 0, 0, "drained")                                                            \
    ROW(LOCAL, none, 0, 1, "local")   /* a channel for CALLERs to admin */                         \
    ROW(CALLER, none, 0, 1, "caller") /* a connection for dejunk's own name */                     \
    ROW(STATE, state, sizeof(struct message_state), 0, "state")                                    \
    ROW(COUNTERS, parcel, sizeof(struct message_parcel), 1, "counters") /* to a successor */       \
    ROW(HANDED_OVER, none, 0, 0, "handed-over") /* to a successor: that was all */                 \
    ROW(GO_ON, none, 0, 0, "go-on")             /* to a successor: it is yours */                  \
    ROW(RELOAD, number, sizeof(struct message_number), 0, "reload") /* of admin; see STATE */      \
    ROW(PASSES, parcel, sizeof(struct message_parcel), 1, "passes") /* admin/passbook.h */         \
    ROW(FOLLOW, none, 0, 1, "follow") /* a socket: each log line as a packet, too */               \
    ROW(NO_FOLLOW, none, 0, 0, "no-follow")                                                        \
    ROW(TAKEN, none, 0, 0, "taken") /* PASSES, LEARNED or RULES: one for each */                   \
    ROW(SIGNER, number, sizeof(struct message_number), 1,                                          \
        "signer") /* a line of packets: sign.h */                                                  \
    ROW(AUTHORITY, parcel, sizeof(struct message_parcel), 1, "authority") /* its chain; 0: none */ \
    ROW(TRUST, parcel, sizeof(struct message_parcel), 1, "trust")         /* supply.h */           \
    ROW(TICKETS, tickets, sizeof(struct message_tickets), 0, "tickets")                            \
    ROW(LEARNED, parcel, sizeof(struct message_parcel), 1, "learned") /* proxy/learned.h */        \
    ROW(NOTE, note, sizeof(struct message_note), 0, "note")           /* of a worker, to admin */

enum message_type {
    MESSAGE_NONE,
#define MESSAGE_ID(id, member, size, fds, name) MESSAGE_##id,
    MESSAGES(MESSAGE_ID)
#undef MESSAGE_ID
        MESSAGE_TYPES
};

struct message {
    enum message_type type;
    int fd; // -1: none
    union {
        struct message_none none;
        struct message_number number;
        struct message_parcel parcel;
        struct message_configured configured;
        struct message_names names;
        struct message_listener listener;
        struct message_drain drain;
        struct message_state state;
        struct message_note note;
        struct message_tickets tickets;
    };
};

enum { MESSAGE_PACKET_BYTES = 12 + sizeof(struct message_note) }; // header and longest fields
_Static_assert(sizeof(struct message_note) >= sizeof(struct message_configured) &&
                   sizeof(struct message_note) >= sizeof(struct message_state) &&
                   sizeof(struct message_note) >= sizeof(struct message_tickets),
               "longest");

/* A message of that type, all fields zero, without a descriptor. */
struct message message_of(enum message_type type);
const char *message_name(enum message_type type);
/* Copies a text into a field of `size` bytes: cut where it is too long, no controls. */
void message_set_text(char *field, size_t size, const char *text);

/* Two ends, non-blocking and closed on exec. */
enum error_kind message_channel(int ends[2], struct error *error);

/* The descriptor stays the caller's. ERROR_LIMIT: the receiver does not keep up, nothing was
 * sent. ERROR_LOST: it is gone. */
enum error_kind message_send(int channel, const struct message *message, struct error *error);

enum message_outcome {
    MESSAGE_GOT,
    MESSAGE_WAIT, // none there now
    MESSAGE_END,  // the sender is gone
    MESSAGE_BAD,  // the packet breaks a rule; *error says which
};
/* A descriptor in *out is the caller's from then on (closed on exec). */
enum message_outcome message_receive(int channel, struct message *out, struct error *error);

/* The two without a socket. Encode writes at most MESSAGE_PACKET_BYTES and returns how many.
 * Decode needs as many descriptors as the type brings, and owns none: on failure all are still
 * the caller's. ERROR_SYNTAX otherwise. */
size_t message_encode(char *packet, const struct message *message);
enum error_kind message_decode(struct message *out, struct span packet, const int *fds,
                               size_t fd_count, struct error *error);

#endif
