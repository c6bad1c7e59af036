#include "html/charset.h"

#include "html/scan.h"

static const struct {
    const char *labels; // the name first
    enum charset_kind kind;
} charsets[] = {
    { "utf-8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8",
      CHARSET_READABLE },
    { "ibm866 866 cp866 csibm866", CHARSET_READABLE },
    { "iso-8859-2 csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 "
      "latin2",
      CHARSET_READABLE },
    { "iso-8859-3 csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 "
      "latin3",
      CHARSET_READABLE },
    { "iso-8859-4 csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 "
      "latin4",
      CHARSET_READABLE },
    { "iso-8859-5 csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5 "
      "iso_8859-5:1988",
      CHARSET_READABLE },
    { "iso-8859-6 arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 "
      "iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
      CHARSET_READABLE },
    { "iso-8859-7 csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7 "
      "iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek",
      CHARSET_READABLE },
    { "iso-8859-8 csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8 "
      "iso88598 iso_8859-8 iso_8859-8:1988 visual",
      CHARSET_READABLE },
    { "iso-8859-8-i csiso88598i logical", CHARSET_READABLE },
    { "iso-8859-10 csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6", CHARSET_READABLE },
    { "iso-8859-13 iso8859-13 iso885913", CHARSET_READABLE },
    { "iso-8859-14 iso8859-14 iso885914", CHARSET_READABLE },
    { "iso-8859-15 csisolatin9 iso8859-15 iso885915 iso_8859-15 l9", CHARSET_READABLE },
    { "iso-8859-16", CHARSET_READABLE },
    { "koi8-r cskoi8r koi koi8 koi8_r", CHARSET_READABLE },
    { "koi8-u koi8-ru", CHARSET_READABLE },
    { "macintosh csmacintosh mac x-mac-roman", CHARSET_READABLE },
    { "windows-874 dos-874 iso-8859-11 iso8859-11 iso885911 tis-620", CHARSET_READABLE },
    { "windows-1250 cp1250 x-cp1250", CHARSET_READABLE },
    { "windows-1251 cp1251 x-cp1251", CHARSET_READABLE },
    { "windows-1252 ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 "
      "iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252",
      CHARSET_READABLE },
    { "windows-1253 cp1253 x-cp1253", CHARSET_READABLE },
    { "windows-1254 cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 "
      "iso_8859-9:1989 l5 latin5 x-cp1254",
      CHARSET_READABLE },
    { "windows-1255 cp1255 x-cp1255", CHARSET_READABLE },
    { "windows-1256 cp1256 x-cp1256", CHARSET_READABLE },
    { "windows-1257 cp1257 x-cp1257", CHARSET_READABLE },
    { "windows-1258 cp1258 x-cp1258", CHARSET_READABLE },
    { "x-mac-cyrillic x-mac-ukrainian", CHARSET_READABLE },
    { "gbk chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58 x-gbk",
      CHARSET_READABLE },
    { "gb18030", CHARSET_READABLE },
    { "big5 big5-hkscs cn-big5 csbig5 x-x-big5", CHARSET_READABLE },
    { "euc-jp cseucpkdfmtjapanese x-euc-jp", CHARSET_READABLE },
    { "iso-2022-jp csiso2022jp", CHARSET_UNREADABLE },
    { "shift_jis csshiftjis ms932 ms_kanji shift-jis sjis windows-31j x-sjis", CHARSET_READABLE },
    { "euc-kr cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 "
      "ksc_5601 windows-949",
      CHARSET_READABLE },
    { "utf-16be unicodefffe", CHARSET_UNREADABLE },
    { "utf-16le csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16", CHARSET_UNREADABLE },
    { "x-user-defined", CHARSET_READABLE },
    { "replacement csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr",
      CHARSET_UNREADABLE },
    { "utf-7", CHARSET_UNREADABLE }, // not a label of the standard any more; old mails had it
};

enum { CHARSETS = sizeof charsets / sizeof *charsets };

/* Is the label one of a row's? */
static bool has_label(struct span labels, struct span label)
{
    while (labels.size) {
        size_t size = span_find_byte(labels, ' ');
        if (span_equal_nocase(span_slice(labels, 0, size), label))
            return true;
        labels = span_from(labels, size + (size < labels.size));
    }
    return false;
}

static struct span trim(struct span label)
{
    while (label.size && scan_is(label.at[0], SCAN_SPACE))
        label = span_from(label, 1);
    while (label.size && scan_is(label.at[label.size - 1], SCAN_SPACE))
        label.size--;
    return label;
}

static size_t find_row(struct span label)
{
    size_t i = 0;

    label = trim(label);
    while (i < CHARSETS && (label.size == 0 || !has_label(span_text(charsets[i].labels), label)))
        i++;
    return i;
}

struct span charset_name(struct span label)
{
    size_t row = find_row(label);
    struct span labels;

    if (row == CHARSETS)
        return SPAN_NONE;
    labels = span_text(charsets[row].labels);
    return span_slice(labels, 0, span_find_byte(labels, ' '));
}

enum charset_kind charset_kind(struct span label)
{
    size_t row = find_row(label);
    return row == CHARSETS ? CHARSET_UNKNOWN : charsets[row].kind;
}

struct span charset_mark(struct span start)
{
    if (span_starts(start, SPAN("\xef\xbb\xbf")))
        return SPAN("utf-8");
    if (span_starts(start, SPAN("\xfe\xff")))
        return SPAN("utf-16be");
    if (span_starts(start, SPAN("\xff\xfe")))
        return SPAN("utf-16le");
    return SPAN_NONE;
}
