# language: xx
Feature: y
