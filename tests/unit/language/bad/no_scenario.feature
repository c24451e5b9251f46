Feature: Nothing in it
