/*
 * learned.h - what is known of programs and https: who trusts our authority, and who does not.
 *
 * Enrolments: a client (an address or a user) and a family of hellos (hello.h) whose https is
 * opened. Learned tunnels: a program (client and family) and a host whose certificate from us it
 * refused, or that wants a client certificate, passed through until a time: an hour, at the next
 * occasion a day, then 30 days. Evidence: closes that may be refusals; three within 10 minutes
 * are one. Each table is bounded; the one noted longest ago goes first, of
 * the same client where that has a quarter of the table. The same text is kept in a
 * file and sent to other processes; one that breaks a rule is refused whole. Bytes and times in,
 * answers out: no clock, no file, no socket.
 *
 *     dejunk learned 1
 *     enrolled CLIENT FAMILY|any SINCE UNTIL|always HOW [HOST SINCE]...   hosts refused lately
 *     tunnel CLIENT FAMILY HOST SINCE UNTIL LEVEL WHY
 *     closed CLIENT FAMILY HOST SINCE...
 *     end 3
 */
#ifndef DEJUNK_PROXY_LEARNED_H
#define DEJUNK_PROXY_LEARNED_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    LEARNED_ENROLMENTS = 1000,
    LEARNED_TUNNELS = 4000,
    LEARNED_CLOSES = 1000,      // evidence: programs and hosts
    LEARNED_CLIENT_BYTES = 260, // "user:" and a name
    LEARNED_HOST_BYTES = 253,
    LEARNED_HOW_BYTES = 32,
    LEARNED_THIRD = 3, // closes that are a refusal; hosts refused that end an enrolment
    LEARNED_WINDOW_MS = 10 * 60 * 1000, // ... within this
    LEARNED_LEVELS = 3,                 // 1 hour, 1 day, 30 days
    LEARNED_TEXT_BYTES = 12 * 1024 * 1024,
};
#define LEARNED_ALWAYS UINT64_MAX
#define LEARNED_ANY_FAMILY UINT64_C(0)

struct learned; // opaque

struct learned *learned_new(void);
void learned_free(struct learned **learned);

/* Who asks, with what, for which host. */
struct learned_who {
    struct span address; // as text, without port and brackets
    struct span user;    // empty: none
    uint64_t family;     // 0: not known (yet)
    struct span host;    // lower case, no dot at the end
};

/* Is this client enrolled with this family; with family 0: with any? */
bool learned_is_enrolled(const struct learned *learned, const struct learned_who *who,
                         uint64_t now_ms);
/* Is this program's connection to this host to be passed through? */
bool learned_has_tunnel(const struct learned *learned, const struct learned_who *who,
                        uint64_t now_ms);

/* ---- what happens ---- */

enum learned_kind {
    LEARNED_REFUSED,            // an alert that says: our certificate is not trusted
    LEARNED_CLOSED,             // closed after our certificate, without a word
    LEARNED_ACCEPTED,           // a handshake was finished
    LEARNED_CLIENT_CERTIFICATE, // the origin wants one, which only the browser has
    LEARNED_KINDS
};
const char *learned_kind_word(enum learned_kind kind); // "refused"

struct learned_event {
    enum learned_kind kind;
    bool is_blocked; // rules block the host: it is never passed through
    struct learned_who who;
};

struct learned_outcome {
    bool has_changed; // anything at all
    bool has_tunnel;  // a tunnel was learned, for this long:
    uint64_t tunnel_ms;
    bool has_ended; // an enrolment was ended, of this client:
    char ended[LEARNED_CLIENT_BYTES + 1];
};

/* Needs a family. `outcome` is always filled in. */
void learned_note(struct learned *learned, const struct learned_event *event, uint64_t now_ms,
                  struct learned_outcome *outcome);

/* ---- what people do ---- */

/* "192.168.1.7" or "user:alice". Writes an address in its one spelling to `to`
 * (LEARNED_CLIENT_BYTES + 1). False for anything else. */
bool learned_read_client(char *to, struct span text);

/* In place of an earlier one of the same client and family, one that was ended too. ERROR_SYNTAX:
 * the client is none or `how` no word; ERROR_LIMIT: there are LEARNED_ENROLMENTS. */
enum error_kind learned_enrol(struct learned *learned, struct span client, uint64_t family,
                              struct span how, uint64_t now_ms, uint64_t until_ms,
                              struct error *error);
/* Every enrolment of the client, or with a family only that one. How many there were. */
size_t learned_unenrol(struct learned *learned, struct span client, uint64_t family);
/* Every learned tunnel to this host, and what was evidence for one. How many there were. */
size_t learned_forget(struct learned *learned, struct span host);

/* ---- what is there ---- */

struct learned_enrolment {
    struct span client;
    uint64_t family;             // LEARNED_ANY_FAMILY
    uint64_t since_ms, until_ms; // LEARNED_ALWAYS
    struct span how;
    bool has_ended; // LEARNED_THIRD hosts were refused
    size_t refused_count;
    struct span refused[LEARNED_THIRD]; // hosts
    uint64_t refused_ms[LEARNED_THIRD];
};
struct learned_tunnel {
    struct span client, host;
    uint64_t family, since_ms, until_ms;
    unsigned level;         // 0 to LEARNED_LEVELS - 1
    enum learned_kind kind; // what it was learned from
};
struct learned_visitor { // each may be NULL
    void (*on_enrolment)(void *owner, const struct learned_enrolment *enrolment);
    void (*on_tunnel)(void *owner, const struct learned_tunnel *tunnel);
    void *owner;
};
/* In the order in which they were noted. */
void learned_visit(const struct learned *learned, const struct learned_visitor *visitor);

struct learned_counts {
    size_t enrolments, ended, tunnels, closes; // tunnels: in force
};
struct learned_counts learned_counts(const struct learned *learned, uint64_t now_ms);

/* Takes out what is of no more use; true when there was any. */
bool learned_expire(struct learned *learned, uint64_t now_ms);

/* Appends the text. False when `out` is full. */
bool learned_write(const struct learned *learned, struct buffer *out);
/* In place of what is there, which stays as it was on an error: ERROR_SYNTAX, ERROR_LIMIT. */
enum error_kind learned_read(struct learned *learned, struct span text, struct error *error);

/* ---- one event as one packet ---- */

enum { LEARNED_PACKET_BYTES = 1024 };
/* Returns the size; 0 where a name is too long. */
size_t learned_encode(char *to, const struct learned_event *event);
/* Spans point into the packet. ERROR_SYNTAX. */
enum error_kind learned_decode(struct learned_event *out, struct span packet, struct error *error);

#endif
