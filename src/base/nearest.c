#include "base/nearest.h"

/* The number of edits between two short names (optimal string alignment distance). */
static size_t edits(struct span a, struct span b)
{
    size_t rows[3][NEAREST_BYTES + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b.size; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t *spare = before;

        now[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            bool same = ascii_lower(a.at[i - 1]) == ascii_lower(b.at[j - 1]);
            size_t best = last[j - 1] + !same;

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b.size];
}

void nearest_init(struct nearest *nearest, struct span wanted)
{
    // A third of the letters may be wrong, and at least one.
    size_t most = wanted.size / 3 > 0 ? wanted.size / 3 : 1;

    *nearest = (struct nearest){ .wanted = wanted, .distance = most + 1 };
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    struct span offered = span_text(name);
    size_t distance;

    if (nearest->wanted.size == 0 || nearest->wanted.size > NEAREST_BYTES ||
        offered.size > NEAREST_BYTES)
        return;
    distance = edits(nearest->wanted, offered);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->name = name;
    }
}
