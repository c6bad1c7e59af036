/*
 * learner.h - who keeps what was learned of programs and https (proxy/learned.h) for all workers.
 *
 * Workers send notes of handshakes; what follows from them is pushed to every worker and kept in
 * STATE/learned. What decides something is pushed at once, evidence alone a little later and
 * together. Also what people see of it and change. One owner: the admin process.
 */
#ifndef DEJUNK_ADMIN_LEARNER_H
#define DEJUNK_ADMIN_LEARNER_H

#include "io/loop.h"
#include "proxy/learned.h"

struct learner; // opaque

/* `push` hands the text to all workers. `state_dir` is borrowed until this returns; empty: nothing
 * is kept. Reads what is there and pushes it; a damaged file is put aside with a warning. */
struct learner *learner_new(struct loop *loop, const char *state_dir,
                            void (*push)(void *owner, struct span text), void *owner);
/* Writes what is not on disk yet. */
void learner_free(struct learner **learner);

/* Writes what is not on disk yet, for the last time: somebody else keeps the file from now on. */
void learner_hand_over(struct learner *learner);

/* Reads the file again and pushes it: who was here before may have changed it. */
void learner_read_again(struct learner *learner);

/* A worker's packet (learned_decode()). */
void learner_take_note(struct learner *learner, struct span packet);

/* ---- commands; `family` 0 is any ---- */

/* Until a time (since 1970, ms; LEARNED_ALWAYS). ERROR_SYNTAX, ERROR_LIMIT; with ERROR_SYSTEM it
 * is in force, but not kept. */
enum error_kind learner_enrol(struct learner *learner, struct span client, uint64_t family,
                              uint64_t until_ms, struct error *error);
/* ERROR_SYNTAX where there was none. */
enum error_kind learner_unenrol(struct learner *learner, struct span client, uint64_t family,
                                struct error *error);
enum error_kind learner_forget(struct learner *learner, struct span host, size_t *count,
                               struct error *error);

/* For people, a line for each; nothing where there is none. False when `out` is full. */
bool learner_show_enrolled(const struct learner *learner, struct buffer *out);
bool learner_show_tunnels(const struct learner *learner, struct buffer *out);
struct learned_counts learner_counts(const struct learner *learner);

#endif
