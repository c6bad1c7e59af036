#include "filter/edit.h"

#include <assert.h>

#include "filter/expressions.h"
#include "filter/json_path.h"
#include "filter/xpath.h"

/* ---- which bodies ---- */

/* "text/html; charset=x": "text/html". */
static struct span media_type(struct span content_type)
{
    return span_trim(span_slice(content_type, 0, span_find_byte(content_type, ';')));
}

/* Does the path of a URL end so? */
static bool path_ends(struct span url, struct span suffix)
{
    size_t end = 0;

    while (end < url.size && url.at[end] != '?' && url.at[end] != '#')
        end++;
    return span_ends_nocase(span_slice(url, 0, end), suffix);
}

static bool is_one_of(struct span type, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal_nocase(type, span_text(names[i])))
            return true;
    return false;
}

enum edit_media edit_media_of(struct span content_type, struct span url)
{
    static const char *const texts[] = {
        "application/javascript",
        "application/x-javascript",
        "application/ecmascript",
        "application/xhtml+xml",
        "image/svg+xml",
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
        "audio/mpegurl",
        "audio/x-mpegurl",
        "application/x-protobuf-text",
        "application/x-www-form-urlencoded",
        "application/manifest",
    };
    static const char *const jsons[] = {
        "application/json",
        "text/json",
        "application/x-json",
        "text/x-json",
        "application/graphql-response",
        "application/x-ndjson",
        "application/jsonl",
    };
    static const char *const xmls[] = {
        "application/xml",         "text/xml",
        "application/dash+xml",    "application/vast+xml",
        "video/vnd.mpeg.dash.mpd", "application/smil",
    };
    struct span type = media_type(content_type);

    if (is_one_of(type, texts, sizeof texts / sizeof *texts))
        return EDIT_TEXT;
    if (is_one_of(type, jsons, sizeof jsons / sizeof *jsons) ||
        span_ends_nocase(type, SPAN("+json")))
        return EDIT_JSON;
    if (is_one_of(type, xmls, sizeof xmls / sizeof *xmls) || span_ends_nocase(type, SPAN("+xml")))
        return EDIT_XML;
    if (path_ends(url, SPAN(".mpd")))
        return EDIT_XML;
    if (path_ends(url, SPAN(".m3u8")))
        return EDIT_TEXT;
    if (span_starts_nocase(type, SPAN("text/plain")) && path_ends(url, SPAN(".json")))
        return EDIT_JSON;
    if (span_starts_nocase(type, SPAN("text/plain")) && path_ends(url, SPAN(".xml")))
        return EDIT_XML;
    if (span_starts_nocase(type, SPAN("text/")))
        return EDIT_TEXT;
    return EDIT_NONE;
}

/* ---- which directives ---- */

static bool touches(enum directive_kind kind, enum edit_media media)
{
    switch (kind) {
    case DIRECTIVE_REPLACE:
        return media != EDIT_NONE;
    case DIRECTIVE_JSONPRUNE: // servers call JSON by many names
        return media == EDIT_JSON || media == EDIT_TEXT;
    case DIRECTIVE_XMLPRUNE:
        return media == EDIT_XML || media == EDIT_TEXT;
    default:
        return false;
    }
}

bool edit_may(const struct directive *directives, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (touches(directives[i].kind, EDIT_TEXT) || touches(directives[i].kind, EDIT_JSON) ||
            touches(directives[i].kind, EDIT_XML))
            return true;
    return false;
}

size_t edit_pick(const struct directive *directives, size_t count, enum edit_media media,
                 struct directive *out, size_t limit)
{
    size_t picked = 0;

    for (size_t i = 0; i < count && picked < limit; i++)
        if (touches(directives[i].kind, media))
            out[picked++] = directives[i];
    return picked;
}

/* ---- the work ---- */

enum prune_result edit_body(struct amender *amender, const struct directive *edit, struct span body,
                            struct buffer *out)
{
    struct replacement replacement;

    assert(body.size <= EDIT_RESULT_LIMIT);
    if (!body.at)
        return PRUNE_NOTHING;
    out->limit_bytes = EDIT_RESULT_LIMIT;
    if (edit->kind == DIRECTIVE_JSONPRUNE)
        return json_path_prune(edit->value, body, out);
    if (edit->kind == DIRECTIVE_XMLPRUNE)
        return xpath_prune(edit->value, body, out);
    if (!replacement_split(&replacement, edit->value))
        return PRUNE_NOTHING;
    switch (expressions_replace(amender_expressions(amender), &replacement, body, out)) {
    case REPLACE_DONE:
        return PRUNE_DONE;
    case REPLACE_TOO_MUCH:
        return PRUNE_TOO_MUCH;
    default:
        return PRUNE_NOTHING;
    }
}
