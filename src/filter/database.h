/*
 * database.h - a compiled set of rules: a flat file image, mapped, checked and shared.
 *
 * compile.h makes the image, match.h asks it; this room only holds it and says what a rule's
 * number stands for. Nothing of an image is believed: it is walked once when it is opened, so
 * that whoever matches may follow every offset in it without looking. It never changes; a reload
 * opens a new one and holders of the old one keep it by reference. The format is drawn in
 * filter/image.h.
 */
#ifndef DEJUNK_FILTER_DATABASE_H
#define DEJUNK_FILTER_DATABASE_H

#include "base/bytes.h"
#include "base/error.h"

struct database; // opaque; counted by database_ref() and database_unref()

/* Maps the file behind `fd` read-only (its place and size on disk must not change; files are
 * replaced by rename) and checks it. The descriptor stays the caller's and may be closed.
 * ERROR_CORRUPT when it is no image of this version or damaged, ERROR_SYSTEM, ERROR_LIMIT. */
enum error_kind database_map(struct database **out, int fd, struct error *error);
/* The same for an image in memory, which is borrowed and must outlive the database, and whose
 * start is aligned to 64 bytes. */
enum error_kind database_open(struct database **out, struct span image, struct error *error);

struct database *database_ref(struct database *database);
/* Gives one reference back and sets *database to NULL. */
void database_unref(struct database **database);

/* Of the images that this program makes and takes: others are to be made anew. */
unsigned database_version(void);

/* Bytes of the image, rules in it (of every kind), and lists it was made from. */
size_t database_size(const struct database *database);
size_t database_rules(const struct database *database);
size_t database_lists(const struct database *database);
/* A number made from everything in the image: the same lists give the same one. */
uint64_t database_generation(const struct database *database);

/* Names one rule of one database; 0 is none. Meaningless in another database. */
typedef uint32_t rule_number;

#define RULE_TEXT_LIMIT 4096u

struct rule_view {
    struct span text; // as the list has it, trimmed; a line of a hosts file as "||host^"
    bool is_cut;      // the rule is longer than RULE_TEXT_LIMIT
    struct span list; // the list's name
    uint32_t line;    // from 1
    char room[RULE_TEXT_LIMIT + 16];
};

/* Fills in `view`: text points into view->room, list into the database. Not for the hot path:
 * texts are unpacked. False for 0, for a number that is none of this database, and without one. */
bool database_rule(const struct database *database, rule_number rule, struct rule_view *view);

#endif
