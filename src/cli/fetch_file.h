/*
 * fetch_file.h - a body on its way into a directory: a temporary, then the file, whole or not at
 * all.
 *
 *     .NAME.part   what has come so far, locked by whoever writes it
 *     .NAME.meta   beside a part or a whole file: of which URL it is, and its validators
 *     NAME         only ever whole; nothing that was there before is overwritten but by a newer
 *                  answer for the same URL
 *
 * Everything happens relative to one open directory; no name has a slash and no link is followed.
 * Which of several names a URL gets is decided when its file is begun, by what is there.
 */
#ifndef DEJUNK_CLI_FETCH_FILE_H
#define DEJUNK_CLI_FETCH_FILE_H

#include "base/error.h"
#include "cli/fetch_name.h"

enum { FETCH_META_BYTES = 64 * 1024, FETCH_VALIDATOR_BYTES = 1024, FETCH_SHA256_TEXT = 65 };

enum fetch_file_mode {
    FETCH_FILE_NEW,        // never what is there already
    FETCH_FILE_CONTINUE,   // go on with a part, leave alone what is whole
    FETCH_FILE_IF_CHANGED, // replace what has changed
};

enum fetch_file_state { // what was found of it
    FETCH_FILE_NOTHING,
    FETCH_FILE_PART,
    FETCH_FILE_WHOLE,
    FETCH_FILE_UNKNOWN, // a file of that name that nobody told of: perhaps the same body, whole
};

struct fetch_facts { // of a body, as .NAME.meta has them; "" and 0: not known
    char etag[FETCH_VALIDATOR_BYTES], modified[FETCH_VALIDATOR_BYTES];
    char sha256[FETCH_SHA256_TEXT];
    uint64_t bytes; // of the whole
};

struct fetch_file { // lives inside its owner; read by all, written by fetch_file.c
    int directory;  // borrowed
    int fd;         // the part; -1: not open
    int found;      // FETCH_FILE_UNKNOWN: the file that was found; -1: not open
    char name[FETCH_NAME_ROOM];
    enum fetch_file_state state;
    struct fetch_facts facts; // of what was found
    uint64_t size;            // of the part, or until something is written of what was found
    bool has_meta;
};

/* Opens a directory, making it and those above it where they are missing. */
enum error_kind fetch_directory_open(int *out, const char *path, struct error *error);

/* Chooses the name, and opens and locks the part; of an old part only fetch_file_resume() keeps
 * what is in it. A whole file that was found is not opened. */
enum error_kind fetch_file_begin(struct fetch_file *file, int directory, const char *name,
                                 struct span url, enum fetch_file_mode mode, struct error *error);
/* Makes the part `size` bytes long (at most what it is) and goes on behind them. */
enum error_kind fetch_file_resume(struct fetch_file *file, uint64_t size, struct error *error);
/* Makes it empty, and forgets what was noted of what was in it; a whole file's note stays. */
enum error_kind fetch_file_restart(struct fetch_file *file, struct error *error);
enum error_kind fetch_file_write(struct fetch_file *file, struct span bytes, struct error *error);
/* What was found, a part or a file that nobody told of: at most `room` bytes of it from `from` on.
 * How many; 0 where there are no more, or they cannot be read. */
size_t fetch_file_read(const struct fetch_file *file, uint64_t from, char *to, size_t room);
/* Has the file that nobody told of these bytes there? */
bool fetch_file_has(const struct fetch_file *file, uint64_t from, struct span bytes);
/* Notes beside it what it is of, so that it can be continued or asked for again. */
enum error_kind fetch_file_note(struct fetch_file *file, struct span url,
                                const struct fetch_facts *facts, struct error *error);
/* The part is whole: it becomes the file, under the next name where somebody has taken its own; a
 * file that nobody told of stays as it is where it is the same. `name` and `url` as for
 * fetch_file_begin(). */
enum error_kind fetch_file_keep(struct fetch_file *file, const char *name, struct span url,
                                struct error *error);
/* Removes the note beside it. */
void fetch_file_forget(struct fetch_file *file);
/* Ends it, keeping the part or not. Harmless after fetch_file_keep() and when never begun. */
void fetch_file_drop(struct fetch_file *file, bool keeps_part);

#endif
