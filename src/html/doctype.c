#include "html/doctype.h"

#include "html/scan.h"

enum { WORD = sizeof("<!doctype") - 1 };

static struct span skip_spaces(struct span raw)
{
    const char *end = raw.at + raw.size, *at = scan_spaces(raw.at, end);
    return span_of(at, (size_t)(end - at));
}

/* A quoted identifier at *raw; false when there is none. *ended: its closing quote is there. */
static bool take_quoted(struct span *raw, struct span *identifier, bool *ended)
{
    size_t end;

    if (raw->size == 0 || (raw->at[0] != '"' && raw->at[0] != '\''))
        return false;
    *identifier = span_from(*raw, 1);
    end = span_find_byte(*identifier, raw->at[0]);
    *ended = end < identifier->size;
    *raw = span_from(*identifier, *ended ? end + 1 : end);
    identifier->size = end;
    return true;
}

/* What follows the name: PUBLIC and one or two identifiers, SYSTEM and one, or nothing. False:
 * it is not correct. *raw is what was left when it became clear that all is well. */
static bool read_identifiers(struct span *raw, struct doctype *doctype)
{
    bool ended = true;

    if (span_starts_nocase(*raw, SPAN("public"))) {
        *raw = skip_spaces(span_from(*raw, 6));
        doctype->has_public_id = take_quoted(raw, &doctype->public_id, &ended);
        if (!doctype->has_public_id || !ended)
            return false;
        *raw = skip_spaces(*raw);
        if (raw->size == 0)
            return true;
    } else if (span_starts_nocase(*raw, SPAN("system"))) {
        *raw = skip_spaces(span_from(*raw, 6));
    } else {
        return raw->size == 0;
    }
    doctype->has_system_id = take_quoted(raw, &doctype->system_id, &ended);
    if (!doctype->has_system_id || !ended)
        return false;
    *raw = skip_spaces(*raw);
    return true;
}

void doctype_read(struct span token, struct doctype *doctype)
{
    bool has_end = span_ends(token, SPAN(">"));
    struct span raw = skip_spaces(span_slice(token, WORD, token.size - WORD - has_end));
    size_t size = 0;

    *doctype = (struct doctype){ .name = raw };
    while (size < raw.size && !scan_is(raw.at[size], SCAN_SPACE))
        size++;
    doctype->name.size = size;
    raw = skip_spaces(span_from(raw, size));
    doctype->is_correct = size > 0 && read_identifiers(&raw, doctype);
    // What follows the system identifier is passed over, and then even a missing end is.
    if (raw.size == 0 && !has_end)
        doctype->is_correct = false;
}

/* Public identifiers of pages that were made for browsers of old (HTML section 13.2.6.4.1). */
#define PREFIX(text)                                                                               \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct span whole_public[] = {
    PREFIX("-//W3O//DTD W3 HTML Strict 3.0//EN//"),
    PREFIX("-/W3C/DTD HTML 4.0 Transitional/EN"),
    PREFIX("HTML"),
};
static const struct span public_prefixes[] = {
    PREFIX("+//Silmaril//dtd html Pro v0r11 19970101//"),
    PREFIX("-//AS//DTD HTML 3.0 asWedit + extensions//"),
    PREFIX("-//AdvaSoft Ltd//DTD HTML 3.0 asWedit + extensions//"),
    PREFIX("-//IETF//DTD HTML 2.0 Level 1//"),
    PREFIX("-//IETF//DTD HTML 2.0 Level 2//"),
    PREFIX("-//IETF//DTD HTML 2.0 Strict Level 1//"),
    PREFIX("-//IETF//DTD HTML 2.0 Strict Level 2//"),
    PREFIX("-//IETF//DTD HTML 2.0 Strict//"),
    PREFIX("-//IETF//DTD HTML 2.0//"),
    PREFIX("-//IETF//DTD HTML 2.1E//"),
    PREFIX("-//IETF//DTD HTML 3.0//"),
    PREFIX("-//IETF//DTD HTML 3.2 Final//"),
    PREFIX("-//IETF//DTD HTML 3.2//"),
    PREFIX("-//IETF//DTD HTML 3//"),
    PREFIX("-//IETF//DTD HTML Level 0//"),
    PREFIX("-//IETF//DTD HTML Level 1//"),
    PREFIX("-//IETF//DTD HTML Level 2//"),
    PREFIX("-//IETF//DTD HTML Level 3//"),
    PREFIX("-//IETF//DTD HTML Strict Level 0//"),
    PREFIX("-//IETF//DTD HTML Strict Level 1//"),
    PREFIX("-//IETF//DTD HTML Strict Level 2//"),
    PREFIX("-//IETF//DTD HTML Strict Level 3//"),
    PREFIX("-//IETF//DTD HTML Strict//"),
    PREFIX("-//IETF//DTD HTML//"),
    PREFIX("-//Metrius//DTD Metrius Presentational//"),
    PREFIX("-//Microsoft//DTD Internet Explorer 2.0 HTML Strict//"),
    PREFIX("-//Microsoft//DTD Internet Explorer 2.0 HTML//"),
    PREFIX("-//Microsoft//DTD Internet Explorer 2.0 Tables//"),
    PREFIX("-//Microsoft//DTD Internet Explorer 3.0 HTML Strict//"),
    PREFIX("-//Microsoft//DTD Internet Explorer 3.0 HTML//"),
    PREFIX("-//Microsoft//DTD Internet Explorer 3.0 Tables//"),
    PREFIX("-//Netscape Comm. Corp.//DTD HTML//"),
    PREFIX("-//Netscape Comm. Corp.//DTD Strict HTML//"),
    PREFIX("-//O'Reilly and Associates//DTD HTML 2.0//"),
    PREFIX("-//O'Reilly and Associates//DTD HTML Extended 1.0//"),
    PREFIX("-//O'Reilly and Associates//DTD HTML Extended Relaxed 1.0//"),
    PREFIX("-//SQ//DTD HTML 2.0 HoTMetaL + extensions//"),
    PREFIX("-//SoftQuad Software//DTD HoTMetaL PRO 6.0::19990601::extensions to HTML 4.0//"),
    PREFIX("-//SoftQuad//DTD HoTMetaL PRO 4.0::19971010::extensions to HTML 4.0//"),
    PREFIX("-//Spyglass//DTD HTML 2.0 Extended//"),
    PREFIX("-//Sun Microsystems Corp.//DTD HotJava HTML//"),
    PREFIX("-//Sun Microsystems Corp.//DTD HotJava Strict HTML//"),
    PREFIX("-//W3C//DTD HTML 3 1995-03-24//"),
    PREFIX("-//W3C//DTD HTML 3.2 Draft//"),
    PREFIX("-//W3C//DTD HTML 3.2 Final//"),
    PREFIX("-//W3C//DTD HTML 3.2//"),
    PREFIX("-//W3C//DTD HTML 3.2S Draft//"),
    PREFIX("-//W3C//DTD HTML 4.0 Frameset//"),
    PREFIX("-//W3C//DTD HTML 4.0 Transitional//"),
    PREFIX("-//W3C//DTD HTML Experimental 19960712//"),
    PREFIX("-//W3C//DTD HTML Experimental 970421//"),
    PREFIX("-//W3C//DTD W3 HTML//"),
    PREFIX("-//W3O//DTD W3 HTML 3.0//"),
    PREFIX("-//WebTechs//DTD Mozilla HTML 2.0//"),
    PREFIX("-//WebTechs//DTD Mozilla HTML//"),
};
static const struct span without_system_prefixes[] = {
    PREFIX("-//W3C//DTD HTML 4.01 Frameset//"),
    PREFIX("-//W3C//DTD HTML 4.01 Transitional//"),
};
#undef PREFIX

bool doctype_is_quirky(const struct doctype *doctype)
{
    if (!doctype->is_correct || !span_equal_nocase(doctype->name, SPAN("html")))
        return true;
    if (doctype->has_system_id &&
        span_equal_nocase(doctype->system_id,
                          SPAN("http://www.ibm.com/data/dtd/v11/ibmxhtml1-transitional.dtd")))
        return true;
    if (!doctype->has_public_id)
        return false;
    for (size_t i = 0; i < sizeof whole_public / sizeof *whole_public; i++)
        if (span_equal_nocase(doctype->public_id, whole_public[i]))
            return true;
    for (size_t i = 0; i < sizeof public_prefixes / sizeof *public_prefixes; i++)
        if (span_starts_nocase(doctype->public_id, public_prefixes[i]))
            return true;
    for (size_t i = 0; i < 2 && !doctype->has_system_id; i++)
        if (span_starts_nocase(doctype->public_id, without_system_prefixes[i]))
            return true;
    return false;
}
