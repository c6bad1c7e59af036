/*
 * pieces.h - short codes for the texts of a database: one byte for a piece of text.
 *
 * Fixed tables of pieces that are frequent in host names and in lines of filter lists; each byte
 * of a packed text is an index. Host names and cosmetic rules shrink to 55 %, others to 52 %. Texts
 * are packed greedily, so that equal texts pack to equal bytes. The tables are part of the database
 * format.
 */
#ifndef DEJUNK_FILTER_PIECES_H
#define DEJUNK_FILTER_PIECES_H

#include "base/bytes.h"
#include "base/inline.h"

#define PIECES_HOST 256u      // of host names: every code stands for a piece
#define PIECES_TEXT 254u      // of other texts
#define PIECES_TEXT_FREE 254u // never made here: its meaning is the owner's
#define PIECES_TEXT_RAW 255u  // in other texts: the byte behind this code stands for itself

struct host_piece {
    _Alignas(16) char text[8];
    uint32_t size;
    uint32_t shift; // 64 - 8 * size: away with the bytes behind it
};
extern const struct host_piece pieces_host[PIECES_HOST];
#define PIECES_HOST_STAR 42u // '*': only ever the first code, in front of the names of entities

enum pieces_subject { // of a rule: what it is about
    PIECES_REQUESTS,
    PIECES_PAGES,
    PIECES_SUBJECTS
};

/* For packing: the pieces by how they begin. Plain data of its owner. */
struct pieces_index {
    struct pieces_table {
        uint8_t codes[256]; // pieces of two bytes and more: by the first two, the longest first
        uint8_t begin[65536], count[65536]; // by the first two bytes: which of `codes`
        uint8_t single[256];                // by the byte: the piece that is only that
        bool has_single[256];
    } host, texts[PIECES_SUBJECTS];
};
void pieces_index_init(struct pieces_index *index);

/* Packed size, or 0 when the name has a byte that no piece has. `to` has room for name.size. */
size_t pieces_pack_host(const struct pieces_index *index, struct span name, uint8_t *to);
/* Unpacks `count` codes; returns the size. `to` has room for 8 * count. */
size_t pieces_unpack_host(const uint8_t *codes, size_t count, char *to);
/* Do the codes say what stands in [at, end)? Reads up to 8 bytes behind `end`. */
ALWAYS_INLINE bool pieces_host_is(const uint8_t *codes, size_t count, const char *at,
                                  const char *end)
{
    const uint8_t *last = codes + count;

    for (; codes < last && at < end; codes++) {
        const struct host_piece *piece = &pieces_host[*codes];
        uint64_t have, want;

        memcpy(&have, at, 8);
        memcpy(&want, piece->text, 8);
        if ((have ^ want) << piece->shift)
            return false;
        at += piece->size;
    }
    return at == end && codes == last;
}

/* The same for rules and other texts. Packed they have at most twice their size. */
size_t pieces_pack_text(const struct pieces_index *index, enum pieces_subject subject,
                        struct span text, uint8_t *to);
/* Unpacks into `to`; stops at `limit` bytes. */
size_t pieces_unpack_text(enum pieces_subject subject, const uint8_t *codes, size_t count, char *to,
                          size_t limit);

#endif
