"""Tests that need a kernel with bonding, 8021q and VLAN filtering; ``tests/kernel/test_inside.py`` runs them.

Each makes a network namespace of its own, so that all run in one boot, and it does not matter what was booted
(user-mode-linux, or a machine under TCG). ``test_vm_*`` need more: nft_meta_bridge, which only the machine has.

The 20 scenarios, each found by its number (``-k scenario_04``). ``converge`` applies twice: the second plan is empty
and makes no writing call. Where a link has to be stable, ``watchers.stable`` reads every event of it, and
``watchers.no_loss`` counts the answers to 50 packets a second that come over a cable from another namespace.

====  ===========================================================  ==========================
 No.  Scenario                                                     File
====  ===========================================================  ==========================
   1  a new bond of two NICs, and its end                          ``test_scenarios_bonds``
   2  a bond without a mode (ours has a default; see the test)     ``test_scenarios_bonds``
   3  a bond without ports, later one                              ``test_scenarios_bonds``
   4  members come, go and are replaced                            ``test_scenarios_bonds``
   5  two bonds swap members                                       ``test_scenarios_bonds``
   6  members in another order                                     ``test_scenarios_bonds``
   7  another mode under VLANs and a bridge                        ``test_scenarios_bonds``
   8  miimon and arp_interval                                      ``test_scenarios_bonds``
   9  a delay that is no multiple of miimon                        ``test_scenarios_bonds``
  10  num_grat_arp and num_unsol_na                                ``test_scenarios_bonds``
  11  fail_over_mac                                                ``test_scenarios_bonds``
  12  bond, VLAN, bridge and address in one file in any order      ``test_scenarios_stack``
  13  a port joins a live bridge with a tap                        ``test_scenarios_bridges``
  14  a tap that is listed, and one that is not                    ``test_scenarios_bridges``
  15  a port moves from a bridge that goes                         ``test_scenarios_bridges``
  16  another id, parent or protocol of a VLAN                     ``test_scenarios_stack``
  17  the MTU up and down through all layers                       ``test_scenarios_stack``
  18  a failure at every step                                      ``test_network_way_back``
  19  an unconfirmed change                                        ``test_network_way_back``
  20  what is not ours; `{}`; the export (its timing: ``bench``)   ``test_scenarios_host``
====  ===========================================================  ==========================
"""
