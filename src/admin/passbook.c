#include "admin/passbook.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "io/address.h"

#define FIRST_LINE "dejunk passes 1"
#define USED "used: " // no host has a colon

struct entry {
    char host[PASSBOOK_HOST_BYTES + 1];
    char client[PASSBOOK_CLIENT_BYTES + 1];
};

_Static_assert(PASSBOOK_CLIENT_BYTES + 1 == ADDRESS_TEXT_BYTES, "any address fits");

struct token { // that was used
    uint64_t number, until_ms;
};

struct passbook {
    struct entry *entries;
    struct proxy_pass *view; // of each entry, in the same order
    size_t count, capacity;
    struct token *tokens; // in the order of their use
    size_t token_count;
};

struct passbook *passbook_new(void)
{
    struct passbook *book = calloc(1, sizeof *book);

    if (book)
        book->tokens = calloc(PASSBOOK_TOKENS, sizeof *book->tokens);
    if (!book || !book->tokens)
        abort(); // out of memory
    return book;
}

void passbook_free(struct passbook **book)
{
    if (!*book)
        return;
    free((*book)->entries);
    free((*book)->view);
    free((*book)->tokens);
    free(*book);
    *book = NULL;
}

struct proxy_passes passbook_view(const struct passbook *book)
{
    return (struct proxy_passes){ book->view, book->count };
}

/* ---- names ---- */

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* As requests name it: lower case, no dot at the end, addresses in one spelling. */
static bool take_host(char *to, struct span host)
{
    struct address address;

    if (host.size > 0 && host.at[host.size - 1] == '.')
        host.size--;
    if (host.size == 0 || host.size > PASSBOOK_HOST_BYTES || host.at[host.size - 1] == '.')
        return false;
    if (address_parse(&address, host, 0)) {
        address_text(&address, to);
        return true;
    }
    for (size_t i = 0; i < host.size; i++) {
        to[i] = ascii_lower(host.at[i]);
        if (!is_host_byte(to[i]) || (to[i] == '.' && (i == 0 || to[i - 1] == '.')))
            return false;
    }
    to[host.size] = '\0';
    return true;
}

static bool take_client(char *to, struct span client)
{
    struct address address;

    if (!address_parse(&address, client, 0))
        return false;
    address_text(&address, to);
    return true;
}

static enum error_kind take_names(struct entry *entry, struct span host, struct span client,
                                  struct error *error)
{
    char text[80];

    memset(entry, 0, sizeof *entry);
    if (host.size > 0 && !take_host(entry->host, host))
        return error_set(error, ERROR_SYNTAX, "\"%s\" is no host name",
                         log_text(text, sizeof text, host));
    if (client.size > 0 && !take_client(entry->client, client))
        return error_set(error, ERROR_SYNTAX, "\"%s\" is no address",
                         log_text(text, sizeof text, client));
    return ERROR_NONE;
}

/* ---- entries ---- */

static size_t find(const struct passbook *book, const struct entry *entry)
{
    size_t i = 0;

    while (i < book->count && memcmp(&book->entries[i], entry, sizeof *entry) != 0)
        i++;
    return i;
}

static void grow(struct passbook *book)
{
    size_t capacity = book->capacity ? 2 * book->capacity : 16;

    book->entries = realloc(book->entries, capacity * sizeof *book->entries);
    book->view = realloc(book->view, capacity * sizeof *book->view);
    if (!book->entries || !book->view)
        abort(); // out of memory
    book->capacity = capacity;
    for (size_t i = 0; i < book->count; i++) {
        book->view[i].host.at = book->entries[i].host;
        book->view[i].client.at = book->entries[i].client;
    }
}

static void put_at(struct passbook *book, size_t i, const struct entry *entry, uint64_t until_ms)
{
    struct entry *place = &book->entries[i];

    *place = *entry;
    book->view[i] =
        (struct proxy_pass){ span_text(place->host), span_text(place->client), until_ms };
}

static void remove_at(struct passbook *book, size_t i)
{
    book->count--;
    if (i < book->count)
        put_at(book, i, &book->entries[book->count], book->view[book->count].until_ms);
}

enum error_kind passbook_give(struct passbook *book, struct span host, struct span client,
                              uint64_t until_ms, struct error *error)
{
    struct entry entry;
    enum error_kind kind = take_names(&entry, host, client, error);
    size_t i;

    if (kind != ERROR_NONE)
        return kind;
    i = find(book, &entry);
    if (i == book->count) {
        if (book->count == PROXY_PASSES)
            return error_set(error, ERROR_LIMIT, "there are %d passes already", PROXY_PASSES);
        if (book->count == book->capacity)
            grow(book);
        book->count++;
    }
    put_at(book, i, &entry, until_ms);
    return ERROR_NONE;
}

bool passbook_take_back(struct passbook *book, struct span host, struct span client)
{
    struct entry entry;
    size_t i;

    if (take_names(&entry, host, client, NULL) != ERROR_NONE)
        return false;
    i = find(book, &entry);
    if (i == book->count)
        return false;
    remove_at(book, i);
    return true;
}

static bool has_token(const struct passbook *book, uint64_t number)
{
    for (size_t i = 0; i < book->token_count; i++)
        if (book->tokens[i].number == number)
            return true;
    return false;
}

bool passbook_use_token(struct passbook *book, uint64_t number, uint64_t until_ms)
{
    if (has_token(book, number))
        return false;
    if (book->token_count == PASSBOOK_TOKENS)
        memmove(book->tokens, book->tokens + 1, --book->token_count * sizeof *book->tokens);
    book->tokens[book->token_count++] = (struct token){ number, until_ms };
    return true;
}

static void expire_tokens(struct passbook *book, uint64_t now_ms)
{
    size_t left = 0;

    for (size_t i = 0; i < book->token_count; i++)
        if (book->tokens[i].until_ms > now_ms)
            book->tokens[left++] = book->tokens[i];
    book->token_count = left;
}

bool passbook_expire(struct passbook *book, uint64_t now_ms)
{
    size_t before = book->count;

    expire_tokens(book, now_ms);
    for (size_t i = book->count; i > 0; i--)
        if (book->view[i - 1].until_ms <= now_ms)
            remove_at(book, i - 1);
    return book->count < before;
}

uint64_t passbook_next_end_ms(const struct passbook *book)
{
    uint64_t next = PROXY_PASS_FOR_GOOD;

    for (size_t i = 0; i < book->count; i++)
        if (book->view[i].until_ms < next)
            next = book->view[i].until_ms;
    return next;
}

/* ---- text ---- */

bool passbook_write(const struct passbook *book, struct buffer *out)
{
    size_t from = out->size;
    bool is_whole = buffer_append(out, SPAN(FIRST_LINE "\n"));

    for (size_t i = 0; i < book->count && is_whole; i++) {
        const struct entry *entry = &book->entries[i];

        is_whole = buffer_printf(out, "%s %s ", entry->host[0] ? entry->host : "*",
                                 entry->client[0] ? entry->client : "*");
        if (book->view[i].until_ms == PROXY_PASS_FOR_GOOD)
            is_whole = is_whole && buffer_append(out, SPAN("always\n"));
        else
            is_whole = is_whole && buffer_printf(out, "%" PRIu64 "\n", book->view[i].until_ms);
    }
    for (size_t i = 0; i < book->token_count && is_whole; i++)
        is_whole = buffer_printf(out, USED "%" PRIu64 " %" PRIu64 "\n", book->tokens[i].number,
                                 book->tokens[i].until_ms);
    is_whole = is_whole && buffer_printf(out, "end %zu\n", book->count + book->token_count);
    if (!is_whole)
        out->size = from;
    return is_whole;
}

/* Cuts off up to `mark`, which must be there. */
static bool cut(struct span *text, char mark, struct span *piece)
{
    size_t at = span_find_byte(*text, mark);

    if (at == text->size)
        return false;
    *piece = span_slice(*text, 0, at);
    *text = span_from(*text, at + 1);
    return true;
}

static enum error_kind read_pass(struct passbook *book, struct span line, struct error *error)
{
    const struct span any = SPAN("*");
    struct span host, client;
    uint64_t until_ms = PROXY_PASS_FOR_GOOD;
    size_t before = book->count;
    enum error_kind kind;

    if (!cut(&line, ' ', &host) || !cut(&line, ' ', &client) || host.size == 0 || client.size == 0)
        return error_set(error, ERROR_SYNTAX, "a pass without host, client or time");
    if (!span_equal(line, SPAN("always")) &&
        (!span_to_u64(line, &until_ms) || until_ms == PROXY_PASS_FOR_GOOD))
        return error_set(error, ERROR_SYNTAX, "a pass without a time");
    kind = passbook_give(book, span_equal(host, any) ? SPAN("") : host,
                         span_equal(client, any) ? SPAN("") : client, until_ms, error);
    if (kind == ERROR_NONE && book->count == before)
        return error_set(error, ERROR_SYNTAX, "a pass that is there twice");
    return kind;
}

static enum error_kind read_token(struct passbook *book, struct span line, struct error *error)
{
    uint64_t number, until_ms;
    struct span first;

    if (book->token_count == PASSBOOK_TOKENS)
        return error_set(error, ERROR_LIMIT, "more than %d used tokens", PASSBOOK_TOKENS);
    if (!cut(&line, ' ', &first) || !span_to_u64(first, &number) || !span_to_u64(line, &until_ms))
        return error_set(error, ERROR_SYNTAX, "a used token without number or time");
    if (!passbook_use_token(book, number, until_ms))
        return error_set(error, ERROR_SYNTAX, "a token that was used twice");
    return ERROR_NONE;
}

static enum error_kind read_all(struct passbook *book, struct span text, struct error *error)
{
    struct span line;
    uint64_t count;

    if (text.size > PASSBOOK_TEXT_BYTES)
        return error_set(error, ERROR_LIMIT, "more than %d bytes of passes", PASSBOOK_TEXT_BYTES);
    if (!cut(&text, '\n', &line) || !span_equal(line, SPAN(FIRST_LINE)))
        return error_set(error, ERROR_SYNTAX, "not a list of passes of this version");
    while (cut(&text, '\n', &line)) {
        enum error_kind kind;

        if (span_starts(line, SPAN("end "))) {
            if (!span_to_u64(span_from(line, 4), &count) ||
                count != book->count + book->token_count || text.size > 0)
                break;
            return ERROR_NONE;
        }
        kind = span_starts(line, SPAN(USED))
                   ? read_token(book, span_from(line, strlen(USED)), error)
                   : read_pass(book, line, error);
        if (kind != ERROR_NONE)
            return kind;
    }
    return error_set(error, ERROR_SYNTAX, "a list of passes without its end");
}

enum error_kind passbook_read(struct passbook *book, struct span text, struct error *error)
{
    struct passbook *read = passbook_new();
    enum error_kind kind = read_all(read, text, error);

    if (kind == ERROR_NONE) {
        struct passbook old = *book;

        *book = *read;
        *read = old;
    }
    passbook_free(&read);
    return kind;
}
