/*
 * window.h - which few bytes are sure to stand in every URL that a pattern matches.
 *
 * The index of the database finds rules by windows: bytes around the start of a run of letters
 * and digits (image.h). This room lists the windows that a pattern offers and guesses how common
 * each is in URLs, from a fixed table. Knows nothing of rules or of how the index is laid out.
 */
#ifndef DEJUNK_FILTER_WINDOW_H
#define DEJUNK_FILTER_WINDOW_H

#include "base/bytes.h"

/* One way to find a pattern: by the bytes of a run of letters and digits and the byte in front of
 * it. Where that byte may be one of several, the pattern is to be entered under each. */
struct window_choice {
    const char *fronts; // the bytes that may stand in front; ends with NUL
    uint64_t run_bytes; // three bytes of the run of a short, seven of a long one; window_bytes()
    bool is_long;
    bool is_placed;  // there is no '*' in front of it
    uint16_t run;    // offset of the run's start in the pattern
    uint32_t weight; // how often it is met in 1000 URLs, as a guess; all of `fronts` together
};

/* The bytes of a window, little end first: four of a short, eight of a long one. */
static inline uint64_t window_bytes(const struct window_choice *choice, char front)
{
    return choice->run_bytes << 8 | (uint8_t)front;
}

enum window_front {  // what is known of the byte in front of the pattern
    FRONT_UNKNOWN,   // anything, or nothing at all
    FRONT_LABEL,     // '/' or '.': a label of the host begins here
    FRONT_PARAMETER, // '?' or '&'
};

#define WINDOW_CHOICES 64u

/* The fixed table, laid out to be asked quickly. Plain data of whoever compiles. */
#define WINDOW_WEIGHT_BITS 10u
#define WINDOW_WEIGHT_SLOTS (1u << WINDOW_WEIGHT_BITS)
struct window_weights {
    uint64_t keys[WINDOW_WEIGHT_SLOTS]; // 0: free
    uint32_t weights[WINDOW_WEIGHT_SLOTS];
};
void window_weights_init(struct window_weights *weights);

/* Fills `out` (WINDOW_CHOICES of room) with the windows of a pattern in lower case, where '*'
 * stands for any run of bytes and '^' for one separator; returns how many there are. `to_end`:
 * the URL ends with the pattern. */
size_t window_list(const struct window_weights *weights, struct window_choice *out,
                   struct span pattern, enum window_front front, bool to_end);

/* Writes the literal parts that a regular expression cannot do without as such a pattern, in
 * lower case, '*' between them, into `to` (at least regex.size + 2 bytes); returns its size.
 * *to_end: what it matches ends with the last of them. */
size_t window_pattern_of_regex(struct span regex, char *to, bool *to_end);

#endif
