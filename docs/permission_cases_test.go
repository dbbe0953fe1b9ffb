package docs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// permissionCases are the tests that show each rule of who may read what. Most are named after what they show.
func permissionCases() map[string][]string {
	return map[string][]string{
		"PE-1 one query path":                {"TestEveryRouteEqualsOracle", "TestEveryContentRouteIsCompared", "TestReaderMayOnlyExecute"},
		"PE-2 unknown is nobody":             {"TestGarbledACLsAreNobody", "TestPE9OldPermissionsHide", "FuzzParseACL", "FuzzDecodePush", "FuzzPermissions"},
		"PE-3 roles and the self-check":      {"TestASpoiledDatabaseIsRefused", "TestMigratingDoesNotBlessWhatWasChanged", "TestSearchDefinerOwnsOnlyTheQueryPath", "TestRolesAreOrdinary"},
		"PE-4 identity by transaction":       {"TestNobodyInheritsAnIdentity", "TestAConnectionThatStillNamesSomebodyIsClosed", "TestIdentityIsNobodyUnlessSet", "TestPE4ThroughAPooler"},
		"PE-5 ids in realms, not addresses":  {"TestIdentityAttacks", "TestVerifiedAddressesMapReaders", "TestRealmsAreNeverMixed"},
		"PE-6 reader and key":                {"TestAKeyIntersects"},
		"PE-7 how a reader is named":         {"TestHowAReaderIsNamed", "TestWhomAnAssertionNames", "TestAnAssertionCountsOnce", "FuzzVerify"},
		"PE-8 denials and nested groups":     {"TestDeepAndLargeGroups", "TestVisibilityEqualsOracle", "TestOracleCatchesMutants"},
		"PE-9 revocation":                    {"TestPE9RevocationsArriveEverywhere", "TestPE9OldPermissionsHide", "TestWhatEndsEndsWithTheNextRequest"},
		"PE-10 newer evidence wins":          {"TestOlderRunNeverOverwritesANewerACL", "TestOlderPermissionsNeverWin"},
		"PE-11 no answer is another's":       {"TestEveryRouteEqualsOracle", "TestNobodyInheritsAnIdentity"}, // nothing caches answers or what somebody holds
		"PE-12 never short":                  {"TestSearchIsNeverShortAndRecalls", "TestCompleteSaysWhatIsMissing"},
		"PE-13 side channels":                {"TestHiddenIsAsAbsent", "TestHiddenTakesAsLongAsAbsent", "TestHiddenDocumentsChangeNoAnswer", "TestStrangersChangeNothing", "TestWB9WhatBreaksIsNotShown"},
		"PE-14 what is left":                 {"TestWhatTimeTellsIsDocumented"},
		"PE-15 realms and connections apart": {"TestSameIDsInTwoConnections", "TestRealmsAreNeverMixed"},
		"PE-16 SQL logins":                   {"TestPE16EveryEntranceIsTheLoginsOwn", "TestSQLLoginCannotForgeAReader"},
		"PE-17 reads are recorded":           {"TestEveryReadIsRecorded", "TestLossesAreCounted"},
	}
}

// identityCases are the attacks on identity by what an attacker does, and the cases of TestIdentityAttacks, or the tests, that
// try each.
func identityCases() map[string][]string {
	return map[string][]string{
		"the same e-mail at another provider or in another tenant": {"same e-mail at another identity provider", "same e-mail in another tenant"},
		"an e-mail that is not verified":                           {"unverified e-mail"},
		"the local part in another case":                           {"local part in another case"},
		"NFC and NFD":                                              {"decomposed letters"},
		"full-width letters":                                       {"full-width letters"},
		"the Turkish i":                                            {"dotless i"},
		"letters of another script":                                {"letters of another script"},
		"zero-width characters":                                    {"zero-width characters"},
		"a domain in Punycode":                                     {"domain in Punycode"},
		"plus addresses and dots":                                  {"plus address", "dots in the local part"},
		"an alias of a new hire":                                   {"alias of a new hire"},
		"an account that was made anew":                            {"account made anew"},
		"a guest":                                                  {"guest of another tenant"},
		"a group and a user of one name or address":                {"group and user of one name"},
		"a group renamed to an old name":                           {"group with an old name"},
		"a display name":                                           {"display name"},
		"no e-mail":                                                {"no e-mail"},
		"everyone of another tenant":                               {"everyone of another tenant"},
		"a domain that looks alike":                                {"look-alike domain"},
		"an open link":                                             {"open link", "open link for anyone"},
		"an owner removed":                                         {"owner removed"},
		"a collaborator who left":                                  {"external collaborator left"},
		"the key of a disabled reader":                             {"key of a disabled reader"},
		"a connector that sees all":                                {"connector that sees all"},
	}
}

// TestEveryPermissionRuleHasItsTests: each of the tests that a rule names is there.
func TestEveryPermissionRuleHasItsTests(t *testing.T) {
	t.Parallel()
	there := everyCase(t)
	rules := permissionCases()
	for n := 1; n <= 17; n++ {
		found := false
		for rule := range rules {
			found = found || strings.HasPrefix(rule, fmt.Sprintf("PE-%d ", n))
		}
		if !found {
			t.Errorf("PE-%d has no tests", n)
		}
	}
	for _, table := range []map[string][]string{rules, identityCases()} {
		for rule, tests := range table {
			for _, name := range tests {
				if !slices.Contains(there, name) {
					t.Errorf("%s: there is no test %q", rule, name)
				}
			}
			if len(tests) == 0 {
				t.Errorf("%s has no tests", rule)
			}
		}
	}
	t.Logf("%d rules, %d attacks", len(rules), len(identityCases()))
}

// TestWhatTimeTellsIsDocumented: what the time of an answer can tell of hidden documents is said, and what bounds it.
func TestWhatTimeTellsIsDocumented(t *testing.T) {
	t.Parallel()
	_, told, ok := strings.Cut(read(t, "SECURITY.md"), "**What time tells.**")
	told, _, _ = strings.Cut(told, "\n")
	for _, says := range []string{"takes longer", "`search.exact_cap`", "absent"} {
		if !ok || !strings.Contains(told, says) {
			t.Errorf("SECURITY.md does not say %q of what time tells: %s", says, told)
		}
	}
}
