/*
 * lines.h - the texts of rules in a database, and where in the lists they stand.
 *
 * Texts are packed (pieces.h) one behind the other in the section LINES; a rule's number is the
 * offset of its record there. Records of lines that follow each other in a list make a run, and
 * the section LINE_PLACES says where runs begin. Inside a run a record may leave out what it has
 * in common with the one before it, as neighbours in lists mostly have:
 *
 *      head     how many codes (0 to 62, 63: in two more bytes), and what else follows
 *      skip     (1) lines that were passed over since the record before it
 *      shared   (1) how many codes of the record before it come first
 *      codes    among them LINES_AGAIN: an offset in LINES (3) and how many bytes that stand
 *               there are codes of this text, too (1)
 *
 * Whoever compiles writes with a struct line_writer; the rest is for readers of an image, of which
 * nothing is believed.
 */
#ifndef DEJUNK_FILTER_LINES_H
#define DEJUNK_FILTER_LINES_H

#include "filter/image.h"
#include "filter/pieces.h"
#include "filter/vector.h"

#define LINES_COUNT 0x3fu // in a record's head
#define LINES_SHARED 0x40u
#define LINES_SKIP 0x80u
#define LINES_FRONT 255u // bytes of codes that the next record may share
#define LINES_AGAIN PIECES_TEXT_FREE
#define LINES_AGAIN_SIZE 5u
#define LINES_AGAIN_LIMIT 0xffffffu // offsets beyond are not repeated
#define LINES_KNOWN_BITS 16u

/* Open, so that it can live inside its owner; all of it is lines.c's own. */
struct line_writer {
    const struct pieces_index *pieces;
    enum pieces_subject subject;
    struct vector *lines, *runs; // borrowed: the sections under construction
    uint32_t records;            // in the run
    uint32_t next_place;
    uint8_t front[LINES_FRONT]; // codes of the record before
    size_t front_size;
    uint8_t codes[2 * (RULE_TEXT_LIMIT + 1)], rest[2 * (RULE_TEXT_LIMIT + 1)];
    uint32_t known[1u << LINES_KNOWN_BITS]; // by the hash of the bytes there: offsets in LINES
};

/* The vectors are empty and outlive the writer. */
void line_writer_init(struct line_writer *writer, const struct pieces_index *pieces,
                      struct vector *lines, struct vector *runs);
/* Writes a text (up to RULE_TEXT_LIMIT + 1 bytes of it count); returns its number. */
uint32_t line_write(struct line_writer *writer, struct span text, uint32_t place);
/* What follows is about pages. To be called once, before line_writer_finish(); returns where. */
uint32_t line_writer_turn(struct line_writer *writer);
/* To be called when all is written. */
void line_writer_finish(struct line_writer *writer);

struct line {
    uint32_t place;
    struct span text;
};

/* Reads the record with this number into `room` (`limit` bytes of it). False: there is none. */
bool line_read(const struct image_view *view, uint32_t number, char *room, size_t limit,
               struct line *out);

/* The number of the record behind this one, or 0. */
uint32_t line_next(const struct image_view *view, uint32_t number);

#endif
