#include "html/sniff.h"

enum { WORDS_BYTES = 64 }; // of what does not begin with a tag

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static struct span skip_space(struct span text)
{
    while (text.size && is_space(text.at[0]))
        text = span_from(text, 1);
    return text;
}

/* What no text has in it (WHATWG MIME Sniffing, section 3: binary data bytes), or UTF-16. */
static bool is_binary(struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = (uint8_t)bytes.at[i];
        if (c < 0x20 && !is_space(bytes.at[i]) && c != 0x1b)
            return true;
    }
    return span_starts(bytes, SPAN("\xff\xfe")) || span_starts(bytes, SPAN("\xfe\xff"));
}

/* "<!-- -->" and "<? ?>" at the start, with the space behind. False: they do not end here. */
static bool skip_markup(struct span *text)
{
    static const struct {
        struct span begin, end;
    } kinds[] = { { { "<!--", 4 }, { "-->", 3 } }, { { "<?", 2 }, { "?>", 2 } } };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds;) {
        struct span inside;
        size_t end;

        if (!span_starts(*text, kinds[i].begin)) {
            i++;
            continue;
        }
        inside = span_from(*text, kinds[i].begin.size);
        end = span_find(inside, kinds[i].end);
        if (end == inside.size)
            return false;
        *text = skip_space(span_from(inside, end + kinds[i].end.size));
        i = 0;
    }
    return true;
}

static bool is_tag(struct span text, struct span name)
{
    return span_starts_nocase(text, name) &&
           (text.size == name.size || is_space(text.at[name.size]) || text.at[name.size] == '>');
}

enum { FEEDS = 3, XHTML = 2 };
static const struct span names[] = {
    { "<rss", 4 },     { "<feed", 5 },
    { "<rdf:RDF", 8 },                           // these first
    { "<html", 5 },    { "<!doctype html", 14 }, // of XML that is a page
    { "<!--", 4 },     { "<?", 2 },              // may stand in front
};

/* WHATWG MIME Sniffing, section 8, and what says that it is XML, but not XHTML. */
static enum sniff sniff_markup(struct span text, bool is_all)
{
    bool is_xml = span_starts(text, SPAN("<?xml")), is_xhtml = false;

    if (!skip_markup(&text))
        return is_all ? SNIFF_PAGE : SNIFF_MORE;
    for (size_t i = 0; i < sizeof names / sizeof *names && !is_all; i++)
        if ((is_xml || i < FEEDS || i >= FEEDS + XHTML) && text.size <= names[i].size &&
            span_starts_nocase(names[i], text))
            return SNIFF_MORE;
    for (size_t i = 0; i < FEEDS; i++)
        if (is_tag(text, names[i]))
            return SNIFF_OTHER;
    for (size_t i = FEEDS; i < FEEDS + XHTML; i++)
        is_xhtml = is_xhtml || is_tag(text, names[i]);
    return is_xml && !is_xhtml && text.size && text.at[0] == '<' ? SNIFF_OTHER : SNIFF_PAGE;
}

enum sniff sniff_page(struct span start, bool is_all, bool is_whole, bool is_visit)
{
    static const struct span mark = { "\xef\xbb\xbf", 3 };
    struct span text = start;

    if (start.size < mark.size && span_starts(mark, start) && !is_all)
        return SNIFF_MORE;
    if (span_starts(start, mark))
        text = span_from(text, mark.size);
    text = skip_space(text);
    if (text.size == 0) {
        if (is_whole)
            return SNIFF_OTHER; // there is nothing to change
        return !is_all ? SNIFF_MORE : is_visit ? SNIFF_PAGE : SNIFF_OTHER;
    }
    if (text.at[0] == '<')
        return sniff_markup(text, is_all);
    if (!is_visit || text.at[0] == '{' || text.at[0] == '[')
        return SNIFF_OTHER;
    if (text.size < WORDS_BYTES && !is_all) // words, perhaps: a few of them tell
        return SNIFF_MORE;
    if (text.size > WORDS_BYTES)
        text.size = WORDS_BYTES;
    return is_binary(text) ? SNIFF_OTHER : SNIFF_PAGE;
}
