#include "filter/lines.h"

#include <assert.h>

#include "filter/database.h"

enum { KNOWN_BYTES = 6 }; // that are looked for

/* ---- writing ---- */

void line_writer_init(struct line_writer *writer, const struct pieces_index *pieces,
                      struct vector *lines, struct vector *runs)
{
    writer->pieces = pieces;
    writer->lines = lines;
    writer->runs = runs;
    writer->subject = PIECES_REQUESTS;
    writer->records = writer->next_place = 0;
    writer->front_size = 0;
    memset(writer->known, 0, sizeof writer->known);
    vector_add(lines, 1, 1); // 0 is no number
}

/* How many of the first `size` bytes, from the start of a code on, are whole codes. */
static size_t whole_codes(const uint8_t *codes, size_t size)
{
    size_t whole = 0;

    while (whole < size)
        whole += codes[whole] == PIECES_TEXT_RAW ? 2 : 1;
    return whole > size ? size - 1 : size;
}

/* How many bytes of the codes are those of the record before. */
static size_t shared_size(const struct line_writer *writer, size_t size)
{
    size_t limit = size < writer->front_size ? size : writer->front_size, same = 0;

    while (same < limit && writer->codes[same] == writer->front[same])
        same++;
    return whole_codes(writer->codes, same);
}

static uint32_t *known_place(struct line_writer *writer, const uint8_t *at)
{
    uint64_t bytes = 0;

    memcpy(&bytes, at, KNOWN_BYTES);
    return &writer->known[bytes * IMAGE_HASH_FACTOR >> (64 - LINES_KNOWN_BITS)];
}

/* How many of the codes stand in LINES already, and where; 0: too few. */
static size_t find_again(struct line_writer *writer, const uint8_t *codes, size_t count,
                         uint32_t *at)
{
    const uint8_t *lines = writer->lines->at;
    size_t size = 0;

    if (count <= LINES_AGAIN_SIZE + 1)
        return 0;
    *at = *known_place(writer, codes);
    while (size < count && size < UINT8_MAX && *at + size < writer->lines->count &&
           lines[*at + size] == codes[size])
        size++;
    size = whole_codes(codes, size);
    return size > LINES_AGAIN_SIZE + 1 && *at > 0 && *at <= LINES_AGAIN_LIMIT ? size : 0;
}

/* Makes writer->rest of codes; returns its size. */
static size_t write_rest(struct line_writer *writer, const uint8_t *codes, size_t count)
{
    uint8_t *to = writer->rest;

    for (size_t i = 0, size; i < count; i += size) {
        uint32_t at;

        size = find_again(writer, codes + i, count - i, &at);
        if (size) {
            *to++ = LINES_AGAIN;
            *to++ = (uint8_t)at;
            *to++ = (uint8_t)(at >> 8);
            *to++ = (uint8_t)(at >> 16);
            *to++ = (uint8_t)size;
        } else {
            size = codes[i] == PIECES_TEXT_RAW ? 2 : 1;
            memcpy(to, codes + i, size);
            to += size;
        }
    }
    return (size_t)(to - writer->rest);
}

static void begin_run(struct line_writer *writer, uint32_t place)
{
    *VECTOR_ADD(*writer->runs, struct image_run) =
        (struct image_run){ .at = (uint32_t)writer->lines->count, .place = place };
    writer->records = 0;
    writer->next_place = place;
    writer->front_size = 0;
}

uint32_t line_write(struct line_writer *writer, struct span text, uint32_t place)
{
    size_t limit = RULE_TEXT_LIMIT + 1, size, shared, count;
    uint32_t number = (uint32_t)writer->lines->count, skip;
    uint8_t head[5], *to;
    size_t head_size = 1;

    if (text.size > limit)
        text.size = limit;
    size = pieces_pack_text(writer->pieces, writer->subject, text, writer->codes);
    if (number == 1 || writer->records == IMAGE_RUN_LIMIT || place < writer->next_place ||
        place - writer->next_place > UINT8_MAX)
        begin_run(writer, place);
    skip = place - writer->next_place;
    shared = shared_size(writer, size);
    if (shared < 2)
        shared = 0;
    count = write_rest(writer, writer->codes + shared, size - shared);
    head[0] = (uint8_t)(count < LINES_COUNT ? count : LINES_COUNT);
    if (head[0] == LINES_COUNT) {
        head[head_size++] = (uint8_t)count;
        head[head_size++] = (uint8_t)(count >> 8);
    }
    if (skip) {
        head[0] |= LINES_SKIP;
        head[head_size++] = (uint8_t)skip;
    }
    if (shared) {
        head[0] |= LINES_SHARED;
        head[head_size++] = (uint8_t)shared;
    }
    to = vector_add(writer->lines, 1, head_size + count);
    memcpy(to, head, head_size);
    memcpy(to + head_size, writer->rest, count);
    for (size_t i = 0; i + KNOWN_BYTES <= count; i++)
        *known_place(writer, writer->rest + i) = number + (uint32_t)(head_size + i);
    writer->front_size = size < LINES_FRONT ? size : LINES_FRONT;
    memcpy(writer->front, writer->codes, writer->front_size);
    writer->records++;
    writer->next_place = place + 1;
    return number;
}

uint32_t line_writer_turn(struct line_writer *writer)
{
    writer->subject = PIECES_PAGES;
    writer->records = IMAGE_RUN_LIMIT; // the next one begins a run
    return (uint32_t)writer->lines->count;
}

void line_writer_finish(struct line_writer *writer)
{
    // so that the last run ends where the lines end
    begin_run(writer, UINT32_MAX);
}

/* ---- reading ---- */

struct record {
    uint32_t codes, count; // bytes in LINES, behind those that are shared
    uint32_t shared, skip;
};

/* Takes the head of the record at `at` apart. False: it leaves the section. */
static bool read_head(const struct image_view *view, uint32_t at, struct record *record)
{
    const uint8_t *lines = view->lines;
    uint32_t limit = view->lines_size, head;

    if (at == 0 || at >= limit)
        return false;
    head = lines[at++];
    record->count = head & LINES_COUNT;
    record->shared = record->skip = 0;
    if (record->count == LINES_COUNT) {
        if (limit - at < 2)
            return false;
        record->count = lines[at] | (uint32_t)lines[at + 1] << 8;
        at += 2;
    }
    if (head & LINES_SKIP) {
        if (at == limit)
            return false;
        record->skip = lines[at++];
    }
    if (head & LINES_SHARED) {
        if (at == limit)
            return false;
        record->shared = lines[at++];
    }
    record->codes = at;
    return record->count <= limit - at;
}

/* The codes of a record one by one, or many at once where they stand somewhere else. */
struct codes {
    const uint8_t *at, *end; // in LINES
};

/* The next run of bytes that are codes; false at the end, or at what is none. */
static bool next_codes(const struct image_view *view, struct codes *left, const uint8_t **run,
                       uint32_t *size)
{
    const uint8_t *at = left->at;
    uint32_t from;

    *run = at;
    while (at < left->end && *at != LINES_AGAIN)
        at += *at == PIECES_TEXT_RAW && left->end - at > 1 ? 2 : 1;
    *size = (uint32_t)(at - *run);
    left->at = at;
    if (*size > 0)
        return true;
    if (left->end - at < (ptrdiff_t)LINES_AGAIN_SIZE)
        return false;
    from = at[1] | (uint32_t)at[2] << 8 | (uint32_t)at[3] << 16;
    *size = at[4];
    left->at = at + LINES_AGAIN_SIZE;
    if (from > view->lines_size || *size > view->lines_size - from)
        return false;
    *run = view->lines + from;
    return true;
}

static struct codes codes_of(const struct image_view *view, const struct record *record)
{
    const uint8_t *at = view->lines + record->codes;

    return (struct codes){ at, at + record->count };
}

/* Puts a record's codes behind those that it shares, as many as the next may share. */
static void take_front(const struct image_view *view, const struct record *record, uint8_t *front,
                       uint32_t *front_size)
{
    struct codes left = codes_of(view, record);
    const uint8_t *run;
    uint32_t size;

    *front_size = record->shared;
    while (*front_size < LINES_FRONT && next_codes(view, &left, &run, &size)) {
        if (size > LINES_FRONT - *front_size)
            size = LINES_FRONT - *front_size;
        memcpy(front + *front_size, run, size);
        *front_size += size;
    }
}

bool line_read(const struct image_view *view, uint32_t number, char *room, size_t limit,
               struct line *out)
{
    const struct image_run *run = image_find_run(view->line_runs, view->line_run_count, number);
    uint32_t at = run->at, place = run->place, front_size = 0, size;
    enum pieces_subject subject =
        number < view->header->page_lines_at ? PIECES_REQUESTS : PIECES_PAGES;
    uint8_t front[LINES_FRONT];
    const uint8_t *part;
    struct record record;
    struct codes left;

    for (unsigned i = 0;; i++) {
        if (i == IMAGE_RUN_LIMIT || at > number || !read_head(view, at, &record) ||
            record.shared > front_size)
            return false;
        place += record.skip;
        if (at == number)
            break;
        take_front(view, &record, front, &front_size);
        at = record.codes + record.count;
        place++;
    }
    if (place >> IMAGE_LINE_BITS >= view->list_count)
        return false;
    out->place = place;
    out->text = span_of(room, pieces_unpack_text(subject, front, record.shared, room, limit));
    left = codes_of(view, &record);
    while (next_codes(view, &left, &part, &size))
        out->text.size +=
            pieces_unpack_text(subject, part, size, room + out->text.size, limit - out->text.size);
    return true;
}

uint32_t line_next(const struct image_view *view, uint32_t number)
{
    struct record record;

    if (!read_head(view, number, &record) || record.codes + record.count >= view->lines_size)
        return 0;
    return record.codes + record.count;
}
