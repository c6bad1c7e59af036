/* XPaths of xmlprune: what they take out of a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/xml_tree.h"
#include "filter/xpath.h"
#include "prune.h"

#define MPD                                                                                        \
    "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:x\">\n <Period id=\"ad-1\"><A/></Period>\n"         \
    " <Period id='show'><S value=\"Ad\"/></Period>\n <Period id=\"ad-2\"/>\n</MPD>\n"
#define SHOP                                                                                       \
    "<s><b c=\"1\"><t>One</t><y>2005</y></b><b c=\"2\"><t>Two</t><y>2003</y></b>"                  \
    "<b c=\"3\"><t>Three</t><y>2003</y></b></s>"

static const struct prune_case cases[] = {
    { "by an attribute's part", "/MPD/Period[contains(@id, 'ad-')]", MPD,
      "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:x\">\n \n"
      " <Period id='show'><S value=\"Ad\"/></Period>\n \n</MPD>\n" },
    { "by what is below", "//*[name()=\"Period\"][.//*[@value=\"Ad\"]]", MPD,
      "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:x\">\n <Period id=\"ad-1\"><A/></Period>\n"
      " \n <Period id=\"ad-2\"/>\n</MPD>\n" },
    { "every other", "/s/b[position() mod 2 = 1]", SHOP,
      "<s><b c=\"2\"><t>Two</t><y>2003</y></b></s>" },
    { "by a child's text", "/s/b[y = 2003]", SHOP, "<s><b c=\"1\"><t>One</t><y>2005</y></b></s>" },
    { "all attributes", "//*/@*", "<a x='1'><b y=\"2\"  z='3'/></a>", "<a><b/></a>" },
    { "one attribute", "//b/@z", "<a z='0'><b y=\"2\"  z='3'/></a>", "<a z='0'><b y=\"2\"/></a>" },
    { "a place", "/s/b[2]", SHOP,
      "<s><b c=\"1\"><t>One</t><y>2005</y></b><b c=\"3\"><t>Three</t><y>2003</y></b></s>" },
    { "the last", "/s/b[last()]/t", SHOP,
      "<s><b c=\"1\"><t>One</t><y>2005</y></b><b c=\"2\"><t>Two</t><y>2003</y></b>"
      "<b c=\"3\"><y>2003</y></b></s>" },
    { "the first of each", "//b[1]", "<a><b/><c><b/><b/></c></a>", "<a><c><b/></c></a>" },
    { "the first of all", "(//b)[1]", "<a><b/><c><b/><b/></c></a>", "<a><c><b/><b/></c></a>" },
    { "more behind a set", "(//c)[1]/b", "<a><b/><c><b/></c></a>", "<a><b/><c></c></a>" },
    { "texts", "//b/text()", "<a>x<b>y<![CDATA[z]]></b></a>", "<a>x<b></b></a>" },
    { "either", "//b | //c", "<a><b/><c/><d/></a>", "<a><d/></a>" },
    { "and, or, not", "//*[(@x and not(@y)) or @z]", "<a><b x='' /><b x='' y=''/><b z=''/></a>",
      "<a><b x='' y=''/></a>" },
    { "numbers", "//b[@n > 1 + 2 * 3 and @n <= 16 div 2]",
      "<a><b n='7'/><b n='8'/><b n=' 9 '/></a>", "<a><b n='7'/><b n=' 9 '/></a>" },
    { "below zero", "//b[@n = -(1)]", "<a><b n='-1'/><b n='1'/></a>", "<a><b n='1'/></a>" },
    { "no number", "//b[@n != 1]", "<a><b n='x'/><b n='1'/><b/></a>", "<a><b n='1'/><b/></a>" },
    { "a parent", "//ad/..", "<a><b><ad/></b><c/></a>", "<a><c/></a>" },
    { "siblings behind", "//ad/following-sibling::*", "<a><b/><ad/><c/>t<d/></a>",
      "<a><b/><ad/>t</a>" },
    { "the nearest in front", "//ad/preceding-sibling::*[1]", "<a><b/><c/><ad/></a>",
      "<a><b/><ad/></a>" },
    { "an ancestor", "//ad/ancestor::c", "<a><c><b><ad/></b></c></a>", "<a></a>" },
    { "an axis by name", "/child::a/descendant::b[self::b]", "<a><c><b/></c></a>",
      "<a><c></c></a>" },
    { "an element named as an axis", "/a/self", "<a><self/></a>", "<a></a>" },
    { "a prefix", "//x:*", "<a><x:b/><y:b/></a>", "<a><y:b/></a>" },
    { "a name with its prefix", "//y:b", "<a><x:b/><y:b/></a>", "<a><x:b/></a>" },
    { "a name without it", "//*[local-name() = 'b']", "<a><x:b/><b/></a>", "<a></a>" },
    { "what is in what is gone", "//b | //c", "<a><b><c/></b></a>", "<a></a>" },
    { "strings", "//b[starts-with(concat(@x, '-', normalize-space(.)), '1-a b')]",
      "<a><b x='1'> a  b\n</b><b x='1'>ab</b></a>", "<a><b x='1'>ab</b></a>" },
    { "parts of strings",
      "//b[substring-before(@x, ':') = 'k' and substring-after(@x, ':') = 'v' and "
      "substring(@x, 2, 2) = ':v' and substring(@x, 3) = 'v' and string-length(@x) = 3]",
      "<a><b x='k:v'/></a>", "<a></a>" },
    { "letters", "//b[translate(@x, 'ABC', 'ab') = 'ab']", "<a><b x='ACBC'/></a>", "<a></a>" },
    { "counts", "//b[count(c) = 2 and sum(c) = 3 and boolean(c) and true() and not(false())]",
      "<a><b><c>1</c><c>2</c></b></a>", "<a></a>" },
    { "rounded", "//b[floor(@n) = 1 and ceiling(@n) = 2 and round(@n) = 2 and number(@n) = 1.5]",
      "<a><b n='1.5'/></a>", "<a></a>" },
    { "sets against sets", "//b[. = //c]", "<a><b>x</b><b>y</b><c>y</c></a>",
      "<a><b>x</b><c>y</c></a>" },
    { "references", "//b[@x = '<&\"\xc3\xa4']", "<a><b x='&lt;&amp;&quot;&#xe4;'/><b/></a>",
      "<a><b/></a>" },
    { "references in texts", "//b[. = 'A&x;']", "<a><b>&#65;&x;</b></a>", "<a></a>" },
    { "what is no reference stays", "//c", "<a>&bogus; & &#0;<c/></a>", "<a>&bogus; & &#0;</a>" },
    { "prolog, comments, instructions stay", "//b",
      "\xef\xbb\xbf<?xml version='1.0'?><!DOCTYPE a [ <!ENTITY x \"]>\"> <!-- ' --> ]>\n<!-- <b/> "
      "-->"
      "<a><?b <b/>?><b/><!-- -- > --></a>\n",
      "\xef\xbb\xbf<?xml version='1.0'?><!DOCTYPE a [ <!ENTITY x \"]>\"> <!-- ' --> ]>\n<!-- <b/> "
      "-->"
      "<a><?b <b/>?><!-- -- > --></a>\n" },
    { "the outermost stays", "/a", "<a><b/></a>", NULL },
    { "nothing is named", "//x", "<a><b/></a>", NULL },
    // not well-formed: nothing is done
    { "a tag not closed", "//b", "<a><b></a>", NULL },
    { "tags crossed", "//b", "<a><b></a></b>", NULL },
    { "two outermost", "//b", "<a><b/></a><a/>", NULL },
    { "text outside", "//b", "<a><b/></a>x", NULL },
    { "no quotes", "//b", "<a><b x=1/></a>", NULL },
    { "an attribute twice", "//b", "<a><b x='1' x='2'/></a>", NULL },
    { "attributes without a blank", "//b", "<a><b x='1'y='2'/></a>", NULL },
    { "'<' in a value", "//b", "<a><b x='<'/></a>", NULL },
    { "a comment without end", "//b", "<a><b/><!-- </a>", NULL },
    { "no element", "//b", "<?xml version='1.0'?>", NULL },
    { "nothing at all", "//b", "", NULL },
};

static void paths_take_out_what_they_name(void **state)
{
    (void)state;
    prune_cases_hold(cases, sizeof cases / sizeof *cases, xpath_is_good, xpath_prune);
}

static void bad_paths_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "//",
        "a[",
        "a[]",
        "a]",
        "a[1",
        "a/",
        "/a//",
        "a///b",
        "1 + 1",
        "'x'",
        "count(//a)",
        "//a[unheard(.)]",
        "//a[contains(.)]",
        "//a[position(1)]",
        "//a[@x = ]",
        "//a['x]",
        "//a | 1",
        "$x",
        "//a[comment()]",
        "a b",
        "((((((((((((((((((((((((//a))))))))))))))))))))))))",
    };
    static char text[1024];
    size_t size = 0;

    (void)state;
    prune_paths_are_refused(bad, sizeof bad / sizeof *bad, xpath_is_good);
    assert_true(xpath_is_good(SPAN("(((((((((((((((((((((((//a)))))))))))))))))))))))")));
    assert_true(xpath_is_good(SPAN("//a[concat(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16)]")));
    assert_false(xpath_is_good(SPAN("//a[concat(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17)]")));
    text[size++] = 'a';
    while (size < 2 * 253) { // each step is a part, and so are the path and none
        memcpy(text + size, "/a", 2);
        size += 2;
    }
    assert_true(xpath_is_good(span_of(text, size)));
    memcpy(text + size, "/a", 2);
    assert_false(xpath_is_good(span_of(text, size + 2)));
}

static void depth_and_numbers_have_limits(void **state)
{
    struct buffer text = { .limit_bytes = 16 << 20 }, out = { .limit_bytes = 16 << 20 };
    struct xml_tree tree;

    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        for (unsigned i = 0; i < XML_DEPTH + more; i++)
            assert_true(buffer_append(&text, SPAN("<a>")));
        for (unsigned i = 0; i < XML_DEPTH + more; i++)
            assert_true(buffer_append(&text, SPAN("</a>")));
        assert_int_equal(xml_tree_read(&tree, buffer_span(&text)), more ? XML_TOO_MUCH : XML_READ);
        xml_tree_done(&tree);
        buffer_release(&text);
        assert_true(buffer_append(&text, SPAN("<a>")));
        for (unsigned i = 0; i < XML_NODES - 2 + more; i++) // the root and the outermost count
            assert_true(buffer_append(&text, SPAN("<b/>")));
        assert_true(buffer_append(&text, SPAN("</a>")));
        assert_int_equal(xml_tree_read(&tree, buffer_span(&text)), more ? XML_TOO_MUCH : XML_READ);
        xml_tree_done(&tree);
        if (!more) {
            assert_int_equal(xpath_prune(SPAN("//b"), buffer_span(&text), &out), PRUNE_DONE);
            assert_true(span_equal(buffer_span(&out), SPAN("<a></a>")));
            buffer_release(&out);
            assert_int_equal(xpath_prune(SPAN("//b[//b[//b]]"), buffer_span(&text), &out),
                             PRUNE_TOO_MUCH);
            assert_int_equal(out.size, 0);
        }
        buffer_release(&text);
        assert_true(buffer_append(&text, SPAN("<a")));
        for (unsigned i = 0; i < 64 + more; i++)
            assert_true(buffer_printf(&text, " x%u=''", i));
        assert_true(buffer_append(&text, SPAN("/>")));
        assert_int_equal(xml_tree_read(&tree, buffer_span(&text)), more ? XML_TOO_MUCH : XML_READ);
        xml_tree_done(&tree);
        buffer_release(&text);
        assert_true(buffer_append(&text, SPAN("<a>")));
        for (unsigned i = 0; i < XML_ATTRIBUTES / 4; i++)
            assert_true(buffer_append(&text, SPAN("<b w='' x='' y='' z=''/>")));
        assert_true(buffer_append(&text, more ? SPAN("<b w=''/></a>") : SPAN("<b/></a>")));
        assert_int_equal(xml_tree_read(&tree, buffer_span(&text)), more ? XML_TOO_MUCH : XML_READ);
        xml_tree_done(&tree);
        buffer_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_take_out_what_they_name),
        cmocka_unit_test(bad_paths_are_refused),
        cmocka_unit_test(depth_and_numbers_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
